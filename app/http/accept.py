"""Reads `Accept` headers (RFC 9110, 12.5.1)."""


class Accept:
    """The media types that a client accepts, each with its weight, 0 to 1."""

    def __init__(self, header: str) -> None:
        """Args: `header` is empty where there is none, which accepts everything."""
        self.weights: dict[str, float] = {}
        for entry in (header.strip() or "*/*").split(","):
            media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
            quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
            self.weights[media_type] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0

    def weight(self, media_type: str) -> float:
        """How much the client wants a media type; of the ranges that hold it, the narrowest counts."""
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        return next((self.weights[name] for name in ranges if name in self.weights), 0.0)

    def best(self, *media_types: str) -> str | None:
        """The media type that the client wants most, the first of several; None if it accepts none of them."""
        best = max(media_types, key=self.weight)
        return best if self.weight(best) else None

    def prefers_page(self) -> bool:
        """Whether the client asks for HTML by name, and for JSON not more."""
        page = self.weights.get("text/html", 0.0)
        return page > 0 and page >= self.weight("application/json")
