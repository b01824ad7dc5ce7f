class ConfigError(Exception):
    pass


def convert(places: object, tls: object) -> tuple[str, list[str]]:
    return "", []
