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
    """Answers 431 (RFC 6585 §5) and hangs up where a header, or the trailer after a body in chunks (RFC 9112 §7.1.2),
    goes on for more than LARGEST_HEADER octets after the piece that it began in. What a trailer says is left out: it
    came past whoever saw the header through."""

    _octets: int | None = None  #: of the fields that are read, since that piece; None between requests and in a body
    _began = False  #: a header or a trailer, in this piece
    _in_header = False

    def on_message_begin(self) -> None:
        self._octets, self._began, self._in_header = 0, True, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_header:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._octets, self._in_header = None, False
        super().on_headers_complete()

    def on_chunk_header(self) -> None:  # of the last one, too, after which the trailer comes
        self._octets, self._began = 0, True

    def on_body(self, body: bytes) -> None:
        self._octets = None
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._octets = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._began = False
        super().data_received(data)
        if self._octets is None or self._began or self.transport.is_closing():
            return
        self._octets += len(data)
        if self._octets > LARGEST_HEADER:
            self._refuse()

    def _refuse(self) -> None:
        """No answer of ours may be taken for one to a request before, nor stand in the middle of one."""
        last = self.cycle
        if self._in_header:
            may_answer = last is None or last.response_complete
        else:
            may_answer = not self.pipeline and not last.response_started
            last.disconnected = True
        if may_answer:
            self.transport.write(_REFUSED)
        self.transport.close()
