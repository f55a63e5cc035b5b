"""What the server answers when it does not do what was asked."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request that is not served.

    Parameters
    ----------
    status : int
        Of HTTP, 4xx.
    error : str
        What is wrong.
    remedy : str
        What the user can do about it.
    """

    def __init__(self, status: int, error: str, remedy: str = "") -> None:
        self.status, self.error, self.remedy = status, error, remedy
        super().__init__(error)

    def __reduce__(self) -> tuple:
        return type(self), (self.status, self.error, self.remedy)


def told(status: int, error: str, remedy: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer that every refusal has: ``{"error", "remedy"}``."""
    return JSONResponse({"error": error, "remedy": remedy}, status, headers=headers)
