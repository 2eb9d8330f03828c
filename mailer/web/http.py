"""HTTP as uvicorn reads it, with a header that has an end: uvicorn bounds none, and joins the pieces of a long field
anew with each that comes."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEADER = 32 * 1024  #: octets; a piece that is read at once has 256 KiB at most

_WORDS = b"The header of this request is too large. Open the address again without what was added to it.\n"
_REFUSED = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b"
) % (len(_WORDS), _WORDS)


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 (RFC 6585 §5) and hangs up where a header goes on for more than LARGEST_HEADER octets after the piece
    that it began in."""

    _octets: int | None = None  #: of the header that is being read, since that piece; None between two and in a body
    _began = False  #: a header, in this piece

    def on_message_begin(self) -> None:
        self._octets, self._began = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._octets = None
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._began = False
        super().data_received(data)
        if self._octets is None or self._began or self.transport.is_closing():
            return
        self._octets += len(data)
        if self._octets > LARGEST_HEADER:
            self.transport.write(_REFUSED)
            self.transport.close()
