"""Posts that terminals draw in different widths, with the words and characters that a person finds in them."""

from __future__ import annotations

from dataclasses import dataclass

FAMILY = "👩‍👩‍👧‍👦"
RAINBOW = "🏳️‍🌈"


@dataclass(frozen=True)
class Case:
    """A post, its words, and the characters of the first word."""

    name: str
    text: str
    words: tuple[str, ...]
    characters: tuple[str, ...]


CASES = (
    Case("english", "Paris isn't far", ("Paris", "isn't", "far"), tuple("Paris")),
    Case("devanagari", "नरेन्द्र मोदी ने कहा", ("नरेन्द्र", "मोदी", "ने", "कहा"), ("न", "रे", "न्द्र")),
    Case("bengali", "শেখ হাসিনা ঢাকায়", ("শেখ", "হাসিনা", "ঢাকায়"), ("শে", "খ")),
    Case("tamil", "தமிழ்நாடு முதல்வர்", ("தமிழ்நாடு", "முதல்வர்"), ("த", "மி", "ழ்", "நா", "டு")),
    Case("malayalam", "കൊച്ചി നഗരം", ("കൊച്ചി", "നഗരം"), ("കൊ", "ച്ചി")),
    Case("telugu", "తెలంగాణ రాష్ట్రం", ("తెలంగాణ", "రాష్ట్రం"), ("తె", "లం", "గా", "ణ")),
    Case("gujarati", "નરેન્દ્ર મોદી", ("નરેન્દ્ર", "મોદી"), ("ન", "રે", "ન્દ્ર")),
    Case("sinhala", "කොළඹ නුවර", ("කොළඹ", "නුවර"), ("කො", "ළ", "ඹ")),
    Case("thai", "ไปกรุงเทพ กำแพง", ("ไปกรุงเทพ", "กำแพง"), ("ไ", "ป", "ก", "รุ", "ง", "เ", "ท", "พ")),
    Case("lao", "ວຽງຈັນ ກຳ", ("ວຽງຈັນ", "ກຳ"), ("ວ", "ຽ", "ງ", "ຈັ", "ນ")),
    Case("khmer", "ភ្នំពេញ", ("ភ្នំពេញ",), ("ភ្នំ", "ពេ", "ញ")),
    Case("burmese", "ရန်ကုန်", ("ရန်ကုန်",), ("ရ", "န်", "ကု", "န်")),
    Case("tibetan", "ལྷ་ས", ("ལྷ", "ས"), ("ལྷ",)),
    Case("chinese", "北京2026年", ("北", "京", "2026", "年"), ("北",)),
    Case("japanese", "東京タワーへ", ("東", "京", "タワー", "へ"), ("東",)),
    Case("half-width katakana", "ｶﾞｰﾅ PARIS", ("ｶﾞｰﾅ", "PARIS"), ("ｶﾞ", "ｰ", "ﾅ")),
    Case("full-width latin", "Ｐａｒｉｓ は", ("Ｐａｒｉｓ", "は"), tuple("Ｐａｒｉｓ")),
    Case("hangul", "서울특별시 부산", ("서울특별시", "부산"), tuple("서울특별시")),
    Case("hangul jamo", "\u1109\u1165\u110b\u116e\u11af x", ("\u1109\u1165\u110b\u116e\u11af", "x"),
         ("\u1109\u1165", "\u110b\u116e\u11af")),
    Case("arabic", "محمد بن سلمان", ("محمد", "بن", "سلمان"), tuple("محمد")),
    Case("arabic with marks", "مُحَمَّد ﷺ", ("مُحَمَّد", "ﷺ"), ("مُ", "حَ", "مَّ", "د")),
    Case("hebrew with marks", "יְרוּשָׁלַיִם", ("יְרוּשָׁלַיִם",), ("יְ", "ר", "וּ", "שָׁ", "לַ", "יִ", "ם")),
    Case("urdu with marks of direction", "\u200fلاہور\u200f \u2067کراچی\u2069", ("لاہور", "کراچی"), tuple("لاہور")),
    Case("latin decomposed", "Zu\u0308rich Mu\u0308nchen", ("Zu\u0308rich", "Mu\u0308nchen"),
         ("Z", "u\u0308", "r", "i", "c", "h")),
    Case("vietnamese decomposed", "Ha\u0300 No\u0323\u0302i", ("Ha\u0300", "No\u0323\u0302i"), ("H", "a\u0300")),
    Case("zalgo", "P" + "\u0301\u0323\u0360" * 40 + "aris ok", ("P" + "\u0301\u0323\u0360" * 40 + "aris", "ok"),
         ("P" + "\u0301\u0323\u0360" * 40, "a", "r", "i", "s")),
    Case("emoji family", f"Ana {FAMILY}{FAMILY} Bo", ("Ana", "Bo"), tuple("Ana")),
    Case("emoji only with skin", "Bo 👍🏽👩🏿‍🚀 x", ("Bo", "x"), tuple("Bo")),
    Case("flags", "Köln 🇩🇪🇫🇷🇮🇳 🇩🇪Bonn", ("Köln", "Bonn"), tuple("Köln")),
    Case("flag of tags", "Wales 🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f " + RAINBOW, ("Wales",),
         tuple("Wales")),
    Case("keycaps", "No 1️⃣2️⃣#️⃣ Uno", ("No", "1️⃣2️⃣", "Uno"), tuple("No")),
    Case("variation selectors", "Ana ❤️☎︎☎️©️ Bo", ("Ana", "Bo"), tuple("Ana")),
    Case("zero width", "Pa\u200bris \ufeffBonn\u2060 \u00adUlm", ("Pa", "ris", "Bonn", "Ulm"), tuple("Pa")),
    Case("joiners", "نامه\u200cها क\u094d\u200dष", ("نامه\u200cها", "क\u094d\u200dष"),
         ("ن", "ا", "م", "ه\u200c", "ه", "ا")),
    Case("tabs and controls", "Ana\tBo\x1b[2J\x07\x9b5A \x00Ulm\r\nKiel",
         ("Ana", "Bo", "2J", "5A", "Ulm", "Kiel"), tuple("Ana")),
    Case("overridden direction", "Ana \u202eoB\u202c Ulm", ("Ana", "oB", "Ulm"), tuple("Ana")),
    Case("line feeds", "Ana\n\n\n\n\n\n\n\n\n\n\n\nBo", ("Ana", "Bo"), tuple("Ana")),
    Case("line separators", "Ana\u2028Bo\u2029Ulm\x85x", ("Ana", "Bo", "Ulm", "x"), tuple("Ana")),
    Case("mathematical letters", "𝐏𝐚𝐫𝐢𝐬 is Ⓟⓐⓡⓘⓢ", ("𝐏𝐚𝐫𝐢𝐬", "is", "Ⓟⓐⓡⓘⓢ"), tuple("𝐏𝐚𝐫𝐢𝐬")),
    Case("cuneiform", "Ur 𒀱𒈙 𒐫", ("Ur", "𒀱𒈙", "𒐫"), tuple("Ur")),
    Case("box and block", "Ana ─━█▒ Bo", ("Ana", "Bo"), tuple("Ana")),
    Case("private use and unassigned", "Ana \ue0b0\U000f0000\u0378 Bo", ("Ana", "Bo"), tuple("Ana")),
    Case("apostrophes", "'Ana' d’Arc O’Connor’s rock'n'roll", ("Ana", "d’Arc", "O’Connor’s", "rock'n'roll"),
         tuple("Ana")),
    Case("numbers and signs", "#Paris @ana_b 3.14 1,000 example.com",
         ("Paris", "ana_b", "3.14", "1,000", "example.com"),
         tuple("Paris")),
)  # fmt: skip
