"""Defines the headers for security and cross-origin requests."""

ANSWER_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer, also to unexpected errors, whose answers are made outside all middleware."""

SECURITY_HEADERS = {
    **ANSWER_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' https://huggingface.co"
    ),
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
"""Default headers of answers. Scripts and styles come only from files; a Space is framed by Hugging Face's site."""

INLINE_STYLES = SECURITY_HEADERS["Content-Security-Policy"].replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
"""Content security policy for Redoc, which creates its styles at run time."""

EXPOSED_HEADERS = (
    "X-Request-ID",
    "Retry-After",
    "X-Emotion",
    "X-Probability",
    "X-Face",
    "X-Faces",
    "X-Heat",
)
"""Answer headers that scripts of an allowed origin may read."""

ACCEPTED_HEADERS = (
    "Content-Type",
    "X-API-Key",
    "X-Request-ID",
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "Authorization",
    "Cache-Control",
    "X-Requested-With",
)
"""Request headers that scripts of an allowed origin may send: those the service reads, and those libraries add."""
