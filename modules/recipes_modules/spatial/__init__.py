"""How positions lie to each other: neighbours, pairs, clusters."""
