import random
import unittest

from elrar_state_gateway.stream import Address, Parser, StreamError, parse_address, parse_urls

WATCH = "/v1/watch?fields=engines&stale=include"


class Addresses(unittest.TestCase):
    def test_good(self) -> None:
        for url, want in {
            "http://127.0.0.1:8080": Address(False, "127.0.0.1", 8080, WATCH),
            "http://gateway": Address(False, "gateway", 80, WATCH),
            "https://gateway/": Address(True, "gateway", 443, WATCH),
            "HTTP://gateway:1/elrar/": Address(False, "gateway", 1, "/elrar" + WATCH),
            "https://gateway/a%20b": Address(True, "gateway", 443, "/a%20b" + WATCH),
            "http://[::1]:8080": Address(False, "::1", 8080, WATCH),
            "http://[2001:db8::1]/x": Address(False, "2001:db8::1", 80, "/x" + WATCH),
        }.items():
            with self.subTest(url=url):
                self.assertEqual(parse_address(url), want)

    def test_bad(self) -> None:
        for url in (
            "127.0.0.1:8080",
            "gateway",
            "http://",
            "http://:8080",
            "ftp://gateway",
            "tcp://10.0.0.1:8080",
            "http://gateway:port",
            "http://gateway:0",
            "http://gateway:65536",
            "http://gateway:70000",
            "http://gateway:" + "9" * 5000,
            "http://gateway:-1",
            "http://[::1",
            "http://user:secret@gateway",
            "http://gateway?x=1",
            "http://gateway#x",
            "http://gateway/a b",
            "http://gateway/\r\nHost: x",
            "http://gäteway",
        ):
            with self.subTest(url=url):
                with self.assertRaises(ValueError):
                    parse_address(url)


class Lists(unittest.TestCase):
    def test_good(self) -> None:
        for urls, want in {
            "http://h": ["http://h"],
            ",http://h, ,https://g:65535/p,http://h,": ["http://h", "https://g:65535/p"],
            "http://h/@": ["http://h/@"],
        }.items():
            with self.subTest(urls=urls):
                self.assertEqual(parse_urls(urls), want)

    def test_bad(self) -> None:
        """The text shows what is wrong, in one line, and says what would be right."""
        such = " is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment"
        port = " is no gateway's URL: its port is not from 1 to 65535"
        host = " is no gateway's URL: its host is neither a name nor an address"
        for urls, want in {
            "": "there is no URL: a gateway's is one such as http://127.0.0.1:8080",
            " , ,": "there is no URL: a gateway's is one such as http://127.0.0.1:8080",
            "127.0.0.1:8080": "'127.0.0.1:8080' is no URL; did you mean http://127.0.0.1:8080?",
            "http://h, localhost:8080": "'localhost:8080' is no URL; did you mean http://localhost:8080?",
            "http:8080": "'http:8080'" + such,
            "ftp://h": "'ftp://h'" + such,
            "http://h?token=s3cret": "'http://h?…'" + such,
            "http://h#s3cret": "'http://h#…'" + such,
            "h?token=s3cret": "'h?…'" + such,
            "http://h:0": "'http://h:0'" + port,
            "http://h:65536": "'http://h:65536'" + port,
            "http://h:port": "'http://h:port'" + port,
            "http://a\nb": "'http://a\\nb' is no gateway's URL: it is not printable ASCII without spaces",
            "http://h%20": "'http://h%20'" + host,
            "http://h|x:1": "'http://h|x:1'" + host,
            "http://h\\p": "'http://h\\\\p'" + host,
            "http://[::1]x:1": "'http://[::1]x:1'" + host,
            "http://[::1%eth0]": "'http://[::1%eth0]'" + host,
            "http://h/%zz": "'http://h/%zz' is no gateway's URL: a % in its path escapes nothing",
        }.items():
            with self.subTest(urls=urls):
                with self.assertRaises(ValueError) as raised:
                    parse_urls(urls)
                self.assertEqual(str(raised.exception), want)

    def test_passwords(self) -> None:
        """None is in an error or in what led to it, however it is written."""
        for urls in (
            "http://user:s3cret@h", "http://s3cret@h", "http://user:s3cret@h:port", "http://user:s3cret@h:99999",
            "user:s3cret@h:8080", "http://user:x,s3cret@h", "http://s3cret,x@h", "http://user:123,s3cret@h",
            "http://user:s3cret#x@h", "http://user:s3cret?x@h", "http://user:s3cret/@h", "http://user:s3cret@@h",
            "http://user:s3c ret@h", "http://user:%s3cret@h", "http://good,http://user:s3cret@h",
            "http://user:s3cret@h,ftp://h", "ftp://s3cret,http://user:x@h", "http://user:s3cret[@h", "http://user:s3cret]@h",
            "http://user%3As3cret%40h", "http://user:s3cret%40h",
        ):  # fmt: skip
            with self.subTest(urls=urls):
                with self.assertRaises(ValueError) as raised:
                    parse_urls(urls)
                for piece in ("s3c", "ret", "user:", "123"):
                    self.assertNotIn(piece, repr(raised.exception))
                self.assertIsNone(raised.exception.__context__)


def parsed(text: bytes, *cuts: int) -> "list[tuple[str, bytes]]":
    """Parses a text that comes cut into pieces."""
    parser = Parser()
    edges = [0, *sorted(cuts), len(text)]
    return [
        (name, data)
        for start, end in zip(edges, edges[1:])
        if end > start
        for name, data, _ in parser.feed(text[start:end], 0.0)
    ]


class Parsing(unittest.TestCase):
    CASES = {
        b"event: a\ndata: 1\n\n": [("a", b"1")],
        b"event: a\r\ndata: 1\r\n\r\n": [("a", b"1")],
        b"event:a\ndata:1\n\n": [("a", b"1")],
        b"event: a\ndata:  1\n\n": [("a", b" 1")],
        b"data: 1\n\n": [("", b"1")],
        b"event: a\nid: 7\nretry: 1\ndata: 1\n\nevent: b\ndata: 2\n\n": [("a", b"1"), ("b", b"2")],
        b"event: a\ndata: 1\ndata: 2\n\n": [("a", b"1\n2")],
        b": a comment\n\nevent: a\n: another\ndata: 1\n\n": [("a", b"1")],
        b"event: a\n\ndata: 1\n\n": [("", b"1")],
        b"nonsense\ndata\nevent: a\n\n": [("a", b"")],
        b"event: a\ndata: half": [],
        b"event: a\ndata: half\n": [],
        b"\n\n\n": [],
        b"event: \xff\ndata: \xff\n\n": [("\ufffd", b"\xff")],
    }

    def test_wherever_it_is_cut(self) -> None:
        for text, want in self.CASES.items():
            for first in range(len(text) + 1):
                for second in range(first, len(text) + 1):
                    with self.subTest(text=text, cuts=(first, second)):
                        self.assertEqual(parsed(text, first, second), want)

    def test_when_an_event_began(self) -> None:
        parser = Parser()
        self.assertEqual(list(parser.feed(b"event: a\nda", 1.0)), [])
        self.assertEqual(list(parser.feed(b"ta: 1\n\nevent: b\n", 2.0)), [("a", b"1", 1.0)])
        self.assertEqual(list(parser.feed(b"data: 2\n", 3.0)), [])
        self.assertEqual(list(parser.feed(b"\n", 4.0)), [("b", b"2", 2.0)])
        self.assertEqual(list(parser.feed(b"data: 3\n\n", 5.0)), [("", b"3", 5.0)])

    def test_no_more_than_so_much_is_held(self) -> None:
        for endless in (b"x" * 100, b"data: x\n" * 20, b":" + b"x" * 50 + b"\n", b"event: x\n" * 20):
            with self.subTest(endless=endless[:10]):
                parser = Parser(largest=1000)
                with self.assertRaises(StreamError):
                    for _ in range(100):
                        list(parser.feed(endless, 0.0))

    def test_the_limit_is_for_one_event(self) -> None:
        parser = Parser(largest=30)
        for _ in range(100):
            self.assertEqual(list(parser.feed(b"event: a\ndata: 1\n\n", 0.0)), [("a", b"1", 0.0)])

    def test_garbage(self) -> None:
        """Whatever comes, nothing but events and StreamError comes out, and the cuts do not matter."""
        rng = random.Random(3)
        pieces = [b"event", b"data", b":", b" ", b"\n", b"\r", b"\n\n", b"\x00", b"\xff\xfe", b"{}", b"id: 1"]
        for _ in range(3000):
            text = b"".join(rng.choice(pieces) for _ in range(rng.randrange(20)))
            whole = parsed(text)
            self.assertEqual(parsed(text, *(rng.randrange(len(text) + 1) for _ in range(3))), whole)
