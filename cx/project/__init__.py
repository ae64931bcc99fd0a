"""A checkout becomes a blueprint: `cx.toml`, Compose file, Dockerfile, policy. All of it is hostile input."""
