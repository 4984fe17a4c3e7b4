"""Configuration and secrets: what the pipeline grants by name. In handler.toml: `uses = ["config"]`.

    region = pelton.config.get("region", "eu")
    key = pelton.config.require("api_key")
"""

from __future__ import annotations

from ._effects import EffectError, doer


def get(name: str, default: str | None = None) -> str | None:
    """The value of this name, or `default` where the pipeline grants none."""
    value = doer("config").get(name)
    return default if value is None else value


def require(name: str) -> str:
    """The value of this name. Raises `EffectError` where there is none."""
    value = get(name)
    if value is None:
        raise EffectError("not-granted", f"there is no configuration `{name}`: add it to the pipeline's grants.config")
    return value


def all() -> dict[str, str]:  # noqa: A001
    """All names and values that the pipeline grants."""
    return dict(doer("config").all())
