"""A checkout becomes a blueprint: Jinja, Compose's normal form, the policy."""

from cx.render.blueprint import check_values, read_blueprint

__all__ = ["check_values", "read_blueprint"]
