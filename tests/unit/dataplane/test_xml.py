"""XML in (nothing dangerous gets in) and out (every character survives)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import s3_error

XMLNS = b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

DANGEROUS = {
    "internal-entity": b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
    "external-entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hosts">]><a>&x;</a>',
    "external-dtd": b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
    "bare-doctype": b"<!DOCTYPE a><a/>",
    "utf-16-doctype": '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
    "undefined-entity": b"<a>&x;</a>",
    "processing-instruction": b"<?php x?><a/>",
    "inner-processing-instruction": b"<a><?php x?></a>",
}
MALFORMED = {
    "empty": b"",
    "text": b"hello",
    "unclosed": b"<a><b></a>",
    "two-roots": b"<a/><b/>",
    "no-utf-8": b"<a>\xff</a>",
    "control-character": b"<a>&#1;</a>",
    "unknown-encoding": b'<?xml version="1.0" encoding="nope"?><a/>',
    "too-deep": b"<a>" * 17 + b"</a>" * 17,
    "too-many-elements": b"<a>" + b"<b/>" * 200_001 + b"</a>",
    "too-large": b"<a>" + b" " * xml.MAX_DOCUMENT_BYTES + b"</a>",
}


@pytest.mark.rule("3.8.11")
@pytest.mark.parametrize("document", DANGEROUS.values(), ids=list(DANGEROUS))
def test_declarations_entities_and_instructions_are_refused(document: bytes) -> None:
    with pytest.raises(xml.XMLSyntaxError):
        xml.parse(document)


@pytest.mark.parametrize("document", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_no_document_of_ours_is_refused(document: bytes) -> None:
    with pytest.raises(xml.XMLSyntaxError):
        xml.parse(document)


def test_the_size_limit_can_be_narrowed() -> None:
    with pytest.raises(xml.XMLSyntaxError):
        xml.parse(b"<a>123456789</a>", limit_bytes=10)


@pytest.mark.parametrize(
    "document",
    [
        b"<a><b>1</b></a>",
        b"<a " + XMLNS + b"><b>1</b></a>",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<a ' + XMLNS + b"><b>1</b></a>",
        b"<s:a " + XMLNS.replace(b"xmlns", b"xmlns:s") + b"><s:b>1</s:b></s:a>",
        b'<a xmlns="http://doc.example/other"><b>1</b></a>',
        b"<a><!-- a comment --><b x='1'>1</b></a>",
    ],
)
def test_namespaces_are_tolerated_and_taken_off(document: bytes) -> None:
    assert xml.write(xml.parse(document)) == "<a><b>1</b></a>"


def test_a_namespace_in_the_text_stays_there() -> None:
    root = xml.parse(b"<a " + XMLNS + b"><b>x " + XMLNS + b"</b></a>")
    assert root.findtext("b") == "x " + XMLNS.decode()
    assert xml.parse(b"<a>x " + XMLNS + b"</a>").text == "x " + XMLNS.decode()


# The characters of XML 1.0, section 2.2.
_XML_TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_characters=[*map(chr, set(range(32)) - {9, 10, 13}), "\ufffe", "\uffff"],
    )
)


@given(_XML_TEXT)
def test_written_text_is_read_back_exactly(text: str) -> None:
    assert (xml.parse(xml.leaf("a", text).encode()).text or "") == text


@pytest.mark.rule("3.8.9")
def test_characters_that_xml_cannot_hold_become_numeric_references() -> None:
    assert xml.escape("a\x01\r\n&<>\ufffe") == "a&#x1;&#xd;&#xa;&amp;&lt;&gt;&#xfffe;"


def test_a_byte_that_was_no_utf_8_becomes_the_replacement_character() -> None:
    assert xml.escape(b"a\xffb".decode("utf-8", "surrogateescape")) == "a\ufffdb"


@pytest.mark.rule("3.13", "3.13.1")
def test_an_error_document_has_declaration_fields_resource_and_request_id() -> None:
    error = s3_error("NoSuchBucket", BucketName="a&b")
    assert xml.error_document(error, resource="/a&b/k", request_id="id-1") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchBucket</Code>'
        b"<Message>The specified bucket does not exist.</Message><BucketName>a&amp;b</BucketName>"
        b"<Resource>/a&amp;b/k</Resource><RequestId>id-1</RequestId></Error>"
    )


@pytest.mark.rule("3.7.16")
def test_a_document_is_in_s3s_namespace() -> None:
    assert xml.document("A", "<b/>") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<A ' + XMLNS + b"><b/></A>"
    )
