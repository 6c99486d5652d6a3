"""Five hundred symbols in the forms in which exchanges and vendors spell them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

BASES = ("BTC", "ETH", "SOL", "XRP", "1INCH", "1000PEPE", "LUNA2", "AAVE", "TON", "WBTC")
QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC")
PAIRS = [(base, quote) for base, quote in product(BASES, QUOTES) if base != quote]
CURRENCIES = ("EUR", "GBP", "JPY", "CHF", "AUD", "CAD")
STOCKS = ("AAPL", "GOOGL", "MSFT", "BRK-B", "BF.B", "RDS.A", "0700", "7203", "005930", "F", "T", "MMM")
ODD = [
    *("M&M.NS", "BAJAJ-AUTO.NS", "J&KBANK.NS", "NQ1!", "ES1!", "6E2!", "CL1!", "GC1!", "BRN1!", "SI2!", "BRK.B", "BRK/B"),
    *("^GSPC", "^IXIC", "^N225", "^VIX", "^TNX", "ES=F", "NQ=F", "GC=F", "CL=F", "6E=F", "ZN=F", "DX-Y.NYB", "BF."),
    *("CON.DE", "CON", "PRN", "AUX", "NUL", "COM1", "COM9.L", "LPT1", "PRN.AX", "AUX.TO", "nul.txt", "BAC^L", "BAC-PL"),
    *("AHT-D", "WFC+", "AUS=", "AUS+", "CCIV.WS", "AAC.U", "F-B", "GOOG#", "ZVZZT~", "TEST$", "A*", "B%", "NTEST/A"),
    *("币安人生/USDT", "Müller AG", "L'OREAL", "@ES#", "@107", "PURR/USDC", "+F", "$SPX", "#VIX", "(ES1!+NQ1!)/2", "1/ES1!"),
    *("BUFFI,UNISWAP_V3,0X4C1B-USD", "a;b", "a;2Fb", "%2e%2e", "..", ".", "_X", "-X", "x.json", "x.history", "x."),
    *("20240816_142301", "20240816_142301_k3f8qz", "20240816", "X:20240816", "X:20240816_142301", "CUSIP:037833100"),
    *("BTC-27DEC24-100000-C", "BTC_USDC-PERPETUAL", "tBTCF0:USTF0", "XXBTZUSD", "AAPL  240621C00190000", "latest"),
]  # fmt: skip
WORDS = (
    *("BTC", "usdt", "/", ":", "=", "^", "!", "&", ";", ",", "@", "#", "$", "%", "*", "+", "~", "'", '"', "\\", "|", "?"),
    *("<", ">", "(", ")", "[", "]", "{", "}", " ", ".", "..", "_", "-", ".json", ".history", "con", "COM1", "nul", "lpt9"),
    *("20240816_142301", "_k3f8qz", ":20240816", "2F", "2f", "C3", "é", "ß", "币", "latest", "0", "\u0660", "K", "\u212a"),
)  # fmt: skip
"""What symbols, and what looks like something else, are made of."""


def _all() -> Iterator[str]:
    yield from ODD
    for base, quote in PAIRS:  # ccxt: spot, linear and inverse, dated, options; then what the exchanges call it
        yield from (f"{base}/{quote}", f"{base}/{quote}:{quote}", f"{base}/{quote}:{base}-240628")
        yield from (f"{base}/{quote}:{quote}-240628-60000-C", f"{base}{quote}", f"X:{base}{quote}", f"{base}-{quote}")
    for one, other in product(CURRENCIES, CURRENCIES):
        if one != other:  # Yahoo, Polygon, TradingView, OANDA
            yield from (f"{one}{other}=X", f"C:{one}{other}", f"FX:{one}{other}", f"{one}_{other}", f"{one}/{other}")
    for stock, place in product(STOCKS, ("NASDAQ", "NYSE", "TSE", "HKEX", "KRX")):
        yield f"{place}:{stock}"
    for stock, suffix in product(STOCKS, ("L", "DE", "PA", "T", "HK", "KS", "SW", "TO")):
        yield f"{stock}.{suffix}"
    for stock in STOCKS:  # Polygon's options and indices
        yield from (f"O:{stock}251219C00150000", f"I:{stock}")


def _some(count: int) -> Iterator[str]:
    """Yield the odd ones, and of the others as many as are left, of every form the same part."""
    others = list(dict.fromkeys(symbol for symbol in _all() if symbol not in ODD))
    left = count - len(ODD)
    yield from ODD
    yield from (others[place * len(others) // left] for place in range(left))


SYMBOLS = tuple(_some(500))
