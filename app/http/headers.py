"""The headers that answers carry, besides those of what they answer."""

ANSWER_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer; also of those to unexpected errors, which are made outside all middleware."""

SECURITY_HEADERS = {
    **ANSWER_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' https://huggingface.co"
    ),
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
"""Scripts and styles come from files alone; a Space on Hugging Face is shown inside a frame of that site."""

INLINE_STYLES = SECURITY_HEADERS["Content-Security-Policy"].replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
"""The policy for Redoc, which makes its styles while it runs."""

EXPOSED_HEADERS = (
    "X-Request-ID",
    "Retry-After",
    "X-Emotion",
    "X-Probability",
    "X-Face",
    "X-Faces",
)
"""What scripts of other origins may read of an answer, where those origins are allowed at all."""

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
"""What scripts of other origins may send: what the service reads, and what libraries add by themselves."""
