(() => {
  const zoom = document.getElementById("zoom"), big = zoom.querySelector("img"), fingers = new Map();
  let x = 0, y = 0, scale = 1, moved = 0;
  const draw = () => { big.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
  const about = (px, py, factor) => {
    const next = Math.min(64, Math.max(.05, scale * factor)), f = next / scale;
    x = px - (px - x) * f; y = py - (py - y) * f; scale = next; draw();
  };
  const fit = () => {
    scale = Math.min(innerWidth / big.naturalWidth, innerHeight / big.naturalHeight);
    x = (innerWidth - big.naturalWidth * scale) / 2; y = (innerHeight - big.naturalHeight * scale) / 2; draw();
  };
  const close = () => { zoom.className = ""; fingers.clear(); };
  document.querySelectorAll("figure img").forEach(small => {
    const open = () => { big.src = small.src; big.className = small.className; zoom.className = "open"; fit(); };
    small.tabIndex = 0; small.addEventListener("click", open);
    small.addEventListener("keydown", event => { if (event.key === "Enter") open(); });
  });
  zoom.addEventListener("wheel", event => { event.preventDefault(); about(event.clientX, event.clientY, Math.exp(-event.deltaY / 400)); }, { passive: false });
  zoom.addEventListener("pointerdown", event => {
    if (event.target.tagName === "BUTTON") return;
    zoom.setPointerCapture(event.pointerId); fingers.set(event.pointerId, event); moved = 0;
  });
  zoom.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    moved += Math.abs(dx) + Math.abs(dy);
    const others = [...fingers.values()].filter(finger => finger.pointerId !== event.pointerId);
    if (others.length) {
      const o = others[0], d = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
      about((event.clientX + o.clientX) / 2, (event.clientY + o.clientY) / 2, d(event, o) / d(before, o));
      x += dx / 2; y += dy / 2;
    } else { x += dx; y += dy; }
    fingers.set(event.pointerId, event); draw();
  });
  ["pointerup", "pointercancel"].forEach(name => zoom.addEventListener(name, event => fingers.delete(event.pointerId)));
  zoom.addEventListener("dblclick", event => { if (event.target.tagName !== "BUTTON") about(event.clientX, event.clientY, 2); });
  const actions = { in: () => about(innerWidth / 2, innerHeight / 2, 1.6), out: () => about(innerWidth / 2, innerHeight / 2, 1 / 1.6), fit, close };
  zoom.querySelectorAll("button").forEach(button => button.addEventListener("click", () => actions[button.dataset.do]()));
  document.addEventListener("keydown", event => { if (event.key === "Escape") close(); });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(item => { item.open = true; }));
  document.querySelectorAll("button[data-copy]").forEach(button => button.addEventListener("click", () => {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(() => { button.textContent = "copied"; });
  }));
})();
