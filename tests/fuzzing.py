"""Small valid FITS files of all kinds, and random ways to break them, for `test_fuzz.py`."""

import gzip
import io
import warnings

import numpy as np
from astropy.io import fits
from hypothesis import strategies as st

from fitsmaker import BLOCK, image_bytes

CARD = 80
RNG = np.random.default_rng(2)
SHAPE = (9, 11)
NOISE = RNG.integers(-3000, 3000, SHAPE).astype("i2")

SKY = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.0, "CRVAL2": 20.0,
    "CRPIX1": 5.0, "CRPIX2": 5.0, "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4,
    "A_ORDER": 2, "A_2_0": 1e-5, "B_ORDER": 2, "B_0_2": 1e-5,
}  # fmt: skip
LOOKED_UP = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
    "CPDIS1": "LOOKUP", "DP1": "EXTVER: 1",
}  # fmt: skip


def written(*hdus):
    """The bytes of a file with these HDUs, as astropy writes it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def header(**cards):
    return fits.Header({"BUNIT": "adu", "EXPTIME": 30.0, "DATE-OBS": "2001-01-02", **cards})


def tiles(data, codec, **more):
    image = fits.CompImageHDU(data, header(), compression_type=codec, tile_shape=(4, 11), **more)
    return written(fits.PrimaryHDU(), image)


def multi():
    image = fits.ImageHDU(NOISE.astype("f4"), header(EXTVER=1), name="SCI")
    beside = [fits.ImageHDU((NOISE > 2000).astype("i2"), name="DQ", ver=1)]
    beside += [fits.ImageHDU(np.ones(SHAPE, "f4"), name="VAR", ver=1)]
    return written(fits.PrimaryHDU(header=header(TELESCOP="8m")), image, *beside)


def ccd():
    beside = [fits.ImageHDU((NOISE > 2000).astype("u1"), name="MASK")]
    beside += [fits.ImageHDU(np.ones(SHAPE, "f8"), fits.Header({"UTYPE": "StdDevUncertainty"}))]
    beside[1].name = "UNCERT"
    return written(fits.PrimaryHDU(NOISE.astype("f8"), header(**SKY)), *beside)


def tables():
    table = fits.BinTableHDU.from_columns([fits.Column("A", "E", array=np.zeros(3, "f4"))])
    lookup = fits.ImageHDU(np.zeros((3, 3), "f4"), name="WCSDVARR")
    return written(fits.PrimaryHDU(NOISE.astype("f4"), header(**LOOKED_UP)), lookup, table)


FLOATS = RNG.normal(100, 5, SHAPE).astype("f4")
SEEDS = {
    "plain": image_bytes(NOISE, BUNIT="adu", EXPTIME=30.0),
    "scaled": image_bytes(NOISE, BUNIT="adu", BSCALE=0.5, BZERO=32768, BLANK=-100),
    "cube": image_bytes(RNG.integers(0, 99, (2, 3, 4)).astype("u1"), BUNIT="electron"),
    "line": image_bytes(RNG.normal(size=12), BUNIT="adu"),
    "uint64": image_bytes(NOISE.astype("i8"), BUNIT="adu", BZERO=1 << 63),
    "multi": multi(),
    "ccd": ccd(),
    "tables": tables(),
    "rice": tiles(NOISE, "RICE_1"),
    "rice floats": tiles(FLOATS, "RICE_1", quantize_level=4, quantize_method=2),
    "gzip1": tiles(NOISE.astype("i4"), "GZIP_1"),
    "gzip2 floats": tiles(FLOATS, "GZIP_2", quantize_level=0),
    "plio": tiles(np.abs(NOISE), "PLIO_1"),
    "hcompress": written(
        fits.PrimaryHDU(),
        fits.CompImageHDU(NOISE, header(), compression_type="HCOMPRESS_1", tile_shape=(9, 11)),
    ),
}

#: Keywords whose cards are replaced.
KEYWORDS = [
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT"),
    *("GROUPS", "EXTEND", "BSCALE", "BZERO", "BLANK", "BUNIT", "EXTNAME", "EXTVER", "UTYPE"),
    *("ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2"),
    *("ZQUANTIZ", "ZDITHER0", "ZBLANK", "ZNAME1", "ZVAL1", "ZVAL2", "ZSCALE", "ZZERO", "ZMASKCMP"),
    *("TFIELDS", "TFORM1", "TTYPE1", "TFORM2", "TTYPE2", "THEAP", "TNULL1", "TDIM1"),
    *("CTYPE1", "CTYPE2", "CRVAL1", "CRPIX1", "CD1_1", "CUNIT1", "WCSAXES", "A_ORDER", "A_2_0"),
    *("B_ORDER", "CPDIS1", "DP1", "D2IMDIS1", "PV2_1", "PS1_0", "LONPOLE", "RADESYS", "EQUINOX"),
    *("EXPTIME", "DATE-OBS", "MJD-OBS", "NCOMBINE", "COMMENT", "HISTORY", "CONTINUE", "END", ""),
]
VALUES = [
    *("0", "1", "-1", "2", "3", "8", "16", "-32", "-64", "64", "17", "999", "1000000"),
    *("2147483647", "2147483648", "-2147483648", "4294967296", "9223372036854775807"),
    *("18446744073709551616", "1" * 60, "0.5", "-0.0", "1E308", "1E999", "-1E999", "1D400"),
    *("NAN", "INF", "T", "F", "T F", "''", "'", "'x", "'IMAGE   '", "'BINTABLE'", "'TABLE   '"),
    *("'RICE_1'", "'GZIP_1'", "'GZIP_2'", "'PLIO_1'", "'HCOMPRESS_1'", "'NOCOMPRESS'", "'ZIP'"),
    *(
        "'1PB(9)'",
        "'1QB(9)'",
        "'9999999B'",
        "'1PE'",
        "'0B'",
        "'RA---TAN'",
        "'DEC--ZPN'",
        "'LOOKUP'",
    ),
    *("'EXTVER: 1'", "'EXTVER: 99'", "'MASK'", "'DQ'", "'UNCERT'", "'VAR'", "'SCI'", "'a&'"),
    *(
        "'adu'",
        "'furlong'",
        "'adu**99999'",
        "'m / s / 0'",
        "'__import__(\"os\")'",
        "(1, 2)",
        "/",
        "//",
    ),
    *("'../../etc/passwd'", "'\xe9'", "\x00", "\t", "1 2", "1.2.3", "1e", "+", "'%s%n'", "'{0}'"),
]


@st.composite
def _cards(draw):
    """A card to put over another; some follow the fixed format of FITS, some do not."""
    key, value = draw(st.sampled_from(KEYWORDS)), draw(st.sampled_from(VALUES))
    mark = draw(st.sampled_from(("= ", "= ", "= ", "=", "  ", " =")))
    text = f"{key:<8}{mark}{value:>20}".encode("latin-1")[:CARD].ljust(CARD)
    return ("card", key, draw(st.floats(0, 1)), text)


def _changes():
    share, byte = st.floats(0, 1), st.integers(0, 255)
    return st.one_of(
        _cards(),
        _cards(),
        st.tuples(st.just("byte"), share, byte),
        st.tuples(st.just("head"), st.integers(0, 2 * BLOCK), byte),
        st.tuples(st.just("noise"), share, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("cut"), share),
        st.tuples(st.just("out"), share, st.integers(1, 2 * BLOCK)),
        st.tuples(st.just("twice"), share, st.integers(1, 2 * BLOCK)),
        st.tuples(st.just("more"), st.sampled_from(sorted(SEEDS))),
    )


def broken(content, change):
    """The content of a file after one change."""
    kind, *how = change
    if kind == "card":
        return _with_card(content, *how)
    if kind == "more":
        return content + SEEDS[how[0]]
    at = how[0] if kind == "head" else int(how[0] * len(content))
    before, after = content[:at], content[at:]
    return {
        "byte": lambda: before + bytes(how[1:]) + after[1:],
        "head": lambda: before + bytes(how[1:]) + after[1:],
        "noise": lambda: before + how[1] + after[len(how[1]) :],
        "cut": lambda: before,
        "out": lambda: before + after[how[1] :],
        "twice": lambda: before + after[: how[1]] + after,
    }[kind]()


def _with_card(content, key, share, text):
    """Put a card over one of this keyword, or over any card of the header if there is none.

    `share`, from 0 to 1, selects the card.
    """
    start = key.ljust(8).encode()
    places = [at for at in range(0, len(content) - CARD, CARD) if content[at : at + 8] == start]
    if not key or not places:
        places = range(0, min(len(content), 2 * BLOCK) - CARD, CARD)
    if not places:
        return text + content
    at = places[min(int(share * len(places)), len(places) - 1)]
    return content[:at] + text + content[at + CARD :]


#: A seed, the changes to its content, and None or the changes after the content is compressed.
PLANS = st.tuples(
    st.sampled_from(sorted(SEEDS)),
    st.lists(_changes(), min_size=1, max_size=3),
    st.none() | st.none() | st.none() | st.lists(_changes(), max_size=1),
)


def made(plan):
    """The content of the file that a plan describes."""
    seed, changes, afterwards = plan
    content = SEEDS[seed]
    for change in changes:
        content = broken(content, change)
    if afterwards is not None:
        content = gzip.compress(content, 1, mtime=0)
        for change in afterwards:
            content = broken(content, change)
    return content
