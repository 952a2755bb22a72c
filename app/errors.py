"""What can go wrong, in the service's own terms. Each error carries the status and code that clients see.

`app/http/problem_details.py` turns these into responses. Messages say what happened and what to try, to people who know
nothing of the service.
"""


def megabytes(count: int) -> str:
    """A number of bytes for people, in units of 2**20 as settings count them."""
    return f"{count / 2**20:.3g} MB"


class StartError(RuntimeError):
    """The service cannot start as it is configured; the message is one line for its operator."""


class ServiceError(Exception):
    """A request that cannot be answered; the message is shown to the client.

    Attributes:
        status: HTTP status code.
        code: stable identifier for programs.
        title: short summary that is the same for every occurrence.
        retry_after: seconds after which a new try makes sense, or None.
    """

    status = 500
    code = "internal_error"
    title = "The service failed"
    retry_after: int | None = None


class InvalidRequest(ServiceError):
    status, code, title = 422, "invalid_request", "The request is not what this endpoint takes"


class MalformedBody(ServiceError):
    status, code, title = 400, "malformed_body", "The multipart body cannot be read"


class NotAcceptable(ServiceError):
    status, code, title = 406, "not_acceptable", "The answer does not come in an accepted format"


class InvalidImage(ServiceError):
    status, code, title = 400, "invalid_image", "The file is not a readable picture"


class InvalidVideo(ServiceError):
    status, code, title = 400, "invalid_video", "The file is not a readable video"


class UnsupportedFormat(ServiceError):
    status, code, title = 415, "unsupported_format", "The picture's format is not supported"


class FileTooLarge(ServiceError):
    status, code, title = 413, "file_too_large", "The file is too large"

    def __init__(self, most: int) -> None:
        """Args: `most` bytes are taken."""
        super().__init__(f"The file is larger than {megabytes(most)}, the most that is taken. Try a smaller copy.")


class RequestTooLarge(ServiceError):
    status, code, title = 413, "request_too_large", "The request is too large"

    def __init__(self, most: int) -> None:
        """Args: `most` bytes are taken."""
        super().__init__(f"The pictures together are larger than {megabytes(most)}. Send fewer at once.")


class TooManyFiles(ServiceError):
    status, code, title = 413, "too_many_files", "The request has too many files"


class TooManyPixels(ServiceError):
    status, code, title = 413, "too_many_pixels", "The picture has too many pixels"


class VideoTooLong(ServiceError):
    status, code, title = 413, "video_too_long", "The video is too long"


class TooSlow(ServiceError):
    status, code, title = 408, "too_slow", "The request took too long to arrive"


class KeyRequired(ServiceError):
    status, code, title = 401, "key_required", "A valid API key is needed"


class ForeignOrigin(ServiceError):
    status, code, title = 403, "foreign_origin", "Pages of this origin may not connect"


class TooManyRequests(ServiceError):
    status, code, title = 429, "too_many_requests", "The client has sent too many requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoFace(ServiceError):
    status, code, title = 400, "no_face", "No face was found"


class Overloaded(ServiceError):
    status, code, title, retry_after = 503, "overloaded", "The service is busy", 1


class OutOfMemory(Overloaded):
    def __init__(self) -> None:
        super().__init__("The service is short of memory at the moment; try again shortly, or with a smaller picture.")


class ModelStopped(ServiceError):
    status, code, title, retry_after = 503, "model_stopped", "The model is not running", 5
