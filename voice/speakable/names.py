"""Abbreviations, acronyms, addresses, file names and the like in English words."""

from __future__ import annotations

import re

from voice.speakable.numbers import say_cardinal, say_digits, say_ordinal
from voice.speakable.rules import Rule, any_of, rewrite

_SPOKEN_AS_WORDS = frozenset(
    (
        "NASA NATO RAM ROM UNESCO UNICEF OPEC LASER RADAR SCUBA AIDS COVID JPEG ASCII BIOS LAN WAN "
        "SIM PIN NAND CRUD REST SOAP YAML TOML LIDAR SONAR ASAP FIFO LIFO CAPTCHA GUI DOS NOT AND "
        "OR THE IS IN ON TO DO BE OF IF NO GO SO MY WE HE ME UP AS AT BY AN A I ALL ANY ARE BUT "
        "CAN FOR GET HAS HER HIM HIS HOW ITS LET MAY NEW NOW OFF OLD ONE OUR OUT OWN PUT SAY SEE "
        "SHE TOO TWO USE WAS WAY WHO WHY YES YOU NOTE STOP WARNING IMPORTANT ONLY MUST NEVER "
        "ALWAYS THIS THAT WITH FROM WILL YOUR HAVE SHOULD READ OPEN FREE TODO"
    ).split()
)
"""Capitals that are said as a word: acronyms with vowels, and words that are shouted."""

_SPELLED = frozenset(
    (
        "AI API EU UN US UK USA IT ISO FAQ AWS ONNX SQL IO UI UX ID OS IP EUR USB URL URI FBI CIA "
        "IBM CEO CTO CFO PC TV DVD CD ATM DNA RNA HIV AM PM BBC CNN OK LLM VAD ETA AKA RSI EOF UEFI"
    ).split()
)
"""Capitals that are spelled although they could be said."""

_SAID = {
    "JSON": "jason", "SaaS": "sass", "IoT": "I o T", "WiFi": "Wi Fi", "Wi-Fi": "Wi Fi",
    "GIF": "gif", "PhD": "P H D", "OAuth": "O auth", "iOS": "I O S", "macOS": "mac O S",
    "LaTeX": "latech", "NumPy": "num pie", "SQLite": "S Q lite", "MySQL": "my S Q L",
    "PostgreSQL": "Postgres Q L", "GitHub": "git hub", "FAISS": "face", "IEEE": "I triple E",
    "C++": "C plus plus", "C#": "C sharp", "F#": "F sharp", ".NET": "dot net", "AT&T": "A T and T",
}  # fmt: skip

_ABBREVIATIONS = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus",
    "vs": "versus", "cf.": "compare", "et al.": "and others", "ca.": "about", "viz.": "namely",
    "approx.": "approximately", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Mr": "Mister",
    "Mrs": "Missus", "Ms": "Miz", "Prof.": "Professor", "Jr.": "Junior", "Sr.": "Senior",
    "Inc.": "Incorporated", "Ltd.": "Limited", "Corp.": "Corporation", "Co.": "Company",
    "Dept.": "Department", "dept.": "department", "Gov.": "Governor", "Gen.": "General",
    "Sgt.": "Sergeant", "Capt.": "Captain", "Lt.": "Lieutenant", "Rev.": "Reverend",
    "Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road", "Mt.": "Mount", "Ft.": "Fort",
    "Ph.D.": "P H D", "M.D.": "M D", "w/o": "without", "w/": "with ", "b/c": "because",
    "min.": "minimum", "max.": "maximum", "est.": "established", "resp.": "respectively",
    "incl.": "including", "excl.": "excluding", "misc.": "miscellaneous", "temp.": "temperature",
    "avg.": "average", "tel.": "telephone", "Tel.": "Telephone", "a.k.a.": "also known as",
}  # fmt: skip
_MAY_END = ("etc.", "Jr.", "Sr.", "Inc.", "Ltd.", "Corp.", "Co.", "Ph.D.", "M.D.", "et al.")
"""Their full stop ends the sentence too, when nothing follows or a capital does."""

_BEFORE_NUMBER = {
    "No.": "number", "no.": "number", "Nos.": "numbers", "nos.": "numbers", "Fig.": "figure",
    "fig.": "figure", "Figs.": "figures", "Eq.": "equation", "eq.": "equation", "p.": "page",
    "pp.": "pages", "Vol.": "volume", "vol.": "volume", "Ch.": "chapter", "ch.": "chapter",
    "Sec.": "section", "sec.": "section", "Art.": "article", "v.": "version", "#": "number ",
    "§": "section ", "§§": "sections ", "№": "number ",
}  # fmt: skip

_KINGS = any_of(
    "Henry Louis Edward George William Charles James Richard Elizabeth Philip Pius Paul Benedict "
    "Napoleon Frederick Francis Gregory Innocent Leo Ivan Nicholas Alexander Catherine Peter Otto "
    "Ferdinand Alfonso Ramesses Ptolemy Mary Margaret Christian Gustav Clement Urban Xerxes Darius "
    "Wilhelm Friedrich Leopold Albert Haakon Harald Olaf Robert".split()
)
_COUNTED = any_of(
    "Chapter Part Section Volume Vol. Book Act Scene Phase Type Level Appendix Article Title War "
    "Grade Stage Tier Class Mark Season Episode Figure Table Bowl Apollo Rocky Group Unit Module "
    "Annex Category Factor Page chapter part section volume book act scene phase type level stage "
    "grade article".split()
)
_ROMAN = r"((?:XL|LX{0,3}|X{0,3})(?:IX|IV|V?I{0,3}))(?<=[IVXL])\b"
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}
_NOT_ME = r"(?! (?!of|and|in|was|who|died|ruled|had)\w)"
"""After a king's name "I" is a numeral, unless a verb of the first person may follow."""

_EXTENSION = any_of(
    "pdf txt md py js ts json yaml yml toml csv tsv xls xlsx doc docx ppt pptx odt html htm css "
    "xml png jpg jpeg gif svg webp mp3 mp4 wav ogg flac zip tar gz exe dll so log ini cfg sh bat "
    "c h cpp rs go java rb php sql db onnx gguf bin epub ipynb jsx tsx".split()
)
_SAID_EXTENSIONS = {
    "json": "jason", "toml": "toml", "yaml": "yaml", "zip": "zip", "tar": "tar", "doc": "doc",
    "log": "log", "bin": "bin", "go": "go", "java": "java", "jpeg": "jpeg", "bat": "bat",
    "wav": "wave", "gif": "gif", "flac": "flack",
}  # fmt: skip
_TLD = any_of("com org net io dev edu gov ai co uk de fr eu info app ch at nl es it ca au".split())


def names_to_words(text: str) -> str:
    """Replace addresses and file names."""
    return rewrite(text, _ADDRESSES)


def versions_to_words(text: str) -> str:
    """Replace versions and telephone numbers, before numbers are read."""
    return rewrite(text, _VERSIONS)


def abbreviations_to_words(text: str) -> str:
    """Replace abbreviations and Roman numerals."""
    return rewrite(text, _SHORT_FORMS)


def compounds_to_words(text: str) -> str:
    """Take the hyphens out of compounds, before numbers in words bring hyphens of their own."""
    return rewrite(text, _COMPOUNDS)


def acronyms_to_words(text: str) -> str:
    """Spell acronyms with spaces, ``U S B``, and undo slashes and underscores."""
    return rewrite(text, _ACRONYMS)


def _spell(letters: str) -> str:
    return " ".join(letters.upper())


def _dotted(host: str) -> str:
    host = host.lower().removeprefix("www.")
    return " dot ".join(" ".join(part.split("-")) for part in host.split("."))


def _web_address(match: re.Match[str]) -> str:
    return _dotted(match.group("host")) + match.group("stop")


def _mail(match: re.Match[str]) -> str:
    name, host = match.groups()
    name = re.sub(r"[._+-]", lambda m: _MARKS[m.group()], name)
    return f"{name} at {_dotted(host)}"


_MARKS = {".": " dot ", "_": " underscore ", "+": " plus ", "-": " dash "}


def _file(match: re.Match[str]) -> str:
    folders, name, extension = match.groups()
    words = re.sub(r"[-_]+", " ", name).replace(".", " dot ").strip()
    said = _SAID_EXTENSIONS.get(extension.lower()) or " ".join(extension.upper())
    path = re.sub(r"[-_]+", " ", folders or "").replace("/", " slash ").replace("~", "home")
    return " ".join(f"{path} {words} dot {said}".split())


def _version(match: re.Match[str]) -> str:
    word, number, rest = match.groups()
    parts = [say_cardinal(int(part)) for part in number.split(".")]
    # "two point twelve point one"; an address of a computer has dots.
    mark = " dot " if len(parts) > 3 else " point "
    before = f"{word.strip()} " if word and word.strip() not in ("v", "V") else ""
    before = "version " if word and word.strip() in ("v", "V") else before
    said = mark.join(parts)
    return before + said + (f" {rest.lstrip('-')}" if rest else "")


def _phone(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match.group())
    plus = "plus " if match.group().startswith("+") else ""
    return plus + ", ".join(say_digits(group) for group in groups)


def _abbreviation(match: re.Match[str]) -> str:
    written = match.group(1)
    after = match.string[match.end() :]
    is_end = not after.strip() or re.match(r"[\"'”’)]*\s+[A-Z]", after) is not None
    is_last = written in _MAY_END and (is_end if not after.strip() or written == "etc." else False)
    return _ABBREVIATIONS[written] + ("." if is_last else "")


def _initials(match: re.Match[str]) -> str:
    return " ".join(match.group(1).replace(".", ""))


def _roman(numeral: str) -> int:
    total = 0
    for char, after in zip(numeral, f"{numeral[1:]} ", strict=True):
        value = _VALUES[char]
        total += -value if _VALUES.get(after, 0) > value else value
    return total


def _acronym(match: re.Match[str]) -> str:
    letters, plural = match.group(1), match.group(2) or ""
    if letters in _SPELLED:
        return _spell(letters) + ("'s" if plural else "")
    has_vowel = any(char in "AEIOUY" for char in letters)
    if letters in _SPOKEN_AS_WORDS or (len(letters) > 5 and has_vowel):
        return letters + plural
    if len(letters) == 1:
        return letters + plural
    return _spell(letters) + ("'s" if plural else "")


_HOST = rf"(?P<host>(?:[a-z0-9-]+\.)+(?:{_TLD})|localhost|\d+\.\d+\.\d+\.\d+)"
_ADDRESSES: tuple[Rule, ...] = (
    (
        re.compile(r"\b([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)\b"),
        _mail,
    ),
    (
        re.compile(
            r"\b(?:https?|ftp)://(?:www\.)?(?P<host>[^\s/?#:,;)\]>\"']+?)(?::\d+)?"
            r"(?:[/?#][^\s)\]>\"]*?)?(?P<stop>[.,;:!?]*)(?=[\s)\]>\"']|$)",
            re.IGNORECASE,
        ),
        _web_address,
    ),
    (
        re.compile(
            rf"(?<![\w@/.-]){_HOST}(?:/[^\s)\]>\"]*?)?(?P<stop>[.,;:!?]*)(?=[\s)\]>\"']|$)",
        ),
        lambda match: match.group() if match["host"][0].isdecimal() else _web_address(match),
    ),
    (
        re.compile(
            rf"(?<![\w@])((?:[~.]?[\w.-]*/)*)([\w-]+(?:\.[\w-]+)*)\.({_EXTENSION})\b(?!\.\w)"
        ),
        _file,
    ),
)

_VERSIONS: tuple[Rule, ...] = (
    (
        re.compile(r"(?<![\w.])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?!\w)"),
        _phone,
    ),
    (re.compile(r"(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[.-]\d{4}(?![\w-])"), _phone),
    (re.compile(r"(?<![\w.-])\d{3}-\d{4}(?![\w-])"), _phone),
    (
        re.compile(
            r"(?<![\w.])([vV] ?)?(\d+(?:\.\d+){2,3})(-?(?:alpha|beta|rc|dev)\d*)?(?![\w]|\.\d)"
        ),
        _version,
    ),
    (
        re.compile(
            r"\b([vV]|(?:[Vv]ersion|Python|Chainlit|Ubuntu|Java|Node|Release|Debian|Fedora) )"
            r"(\d+(?:\.\d+)+)()(?![\w]|\.\d)"
        ),
        _version,
    ),
)

_SHORT_FORMS: tuple[Rule, ...] = (
    (
        re.compile(rf"(?<!\w){any_of(_BEFORE_NUMBER)}\s?(?=\d)"),
        lambda match: f"{_BEFORE_NUMBER[match.group().strip()].strip()} ",
    ),
    (re.compile(r"\b[Nn]o\. of\b"), "number of"),
    (re.compile(r"\bDr\.? (?=[A-Z])"), "Doctor "),
    (re.compile(r"(?<=[a-z] )St\.(?=[\s,;)]|$)(?! [A-Z][a-z]+['’]s)(?! [A-Z])"), "Street"),
    (re.compile(r"(?<=[A-Z]\w \b)Dr\.(?! [A-Z])"), "Drive"),
    (re.compile(r"\bSt\.? (?=[A-Z])"), "Saint "),
    (re.compile(rf"(?<![\w.])({any_of(_ABBREVIATIONS)})(?!\w)"), _abbreviation),
    (
        re.compile(r"\b((?:[A-Z]\.){2,})(?=\s+[a-z,;]|[,;:])"),
        lambda m: " ".join(m[1].replace(".", "")),
    ),
    (re.compile(r"\b((?:[A-Z]\.)+[A-Z])(?=\.)"), _initials),
    (
        re.compile(rf"\b({_KINGS}) (?:(?!I\b)|(?=I\b{_NOT_ME})){_ROMAN}"),
        lambda match: f"{match[1]} the {say_ordinal(_roman(match[2]))}",
    ),
    (
        re.compile(rf"\b({_COUNTED}) {_ROMAN}"),
        lambda match: f"{match[1]} {say_cardinal(_roman(match[2]))}",
    ),
    (
        re.compile(rf"(?<!\w){_ROMAN}(?:th)?(?= [Cc]entury)"),
        lambda match: say_ordinal(_roman(match[1])),
    ),
)

_COMPOUNDS: tuple[Rule, ...] = (
    (
        re.compile(rf"(?<![\w.])({any_of(_SAID)})(?![\w+#])"),
        lambda match: _SAID[match.group(1)],
    ),
    (re.compile(r"(?<=[A-Za-z])[-‐‑](?=[A-Za-z])"), " "),
)

_ACRONYMS: tuple[Rule, ...] = (
    (re.compile(r"(?<=\w)_+(?=\w)|(?<!\w)_+(?=\w)|(?<=\w)_+"), " "),
    (re.compile(r"\band/or\b"), "and or"),
    (re.compile(r"(?<=[A-Z])/(?=[A-Z])"), " "),
    (re.compile(r"(?<=[a-z])/(?=[a-z])"), " or "),
    (re.compile(r"(?<![A-Za-z])([A-Z]{2,})(?:(['’]?s)\b|(?![A-Za-z]))"), _acronym),
    (re.compile(r"(?<=[a-z])(?=[A-Z][a-z])"), " "),
)
