"""Which points lie in a region, without traits."""

from recipes_modules.regions.inside import in_polygon, in_polygons

__all__ = ["in_polygon", "in_polygons"]
