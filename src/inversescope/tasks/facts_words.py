"""Frames, fillers and words of the task `facts`: sentences in four languages with facts planted in them.

A frame has slots in braces. `|` ends it where it is read later than a fact: one word or mark behind it. Nouns and verbs
are plural, and adjectives masculine, so that every filler fits.
"""

from __future__ import annotations

from typing import NamedTuple

NAMES = ("Mary", "John", "Alice", "Peter", "Laura", "Robert")
CITIES = ("Madrid", "Boston", "Chicago", "Toronto", "Oslo", "Miami", "Dallas", "Lima")
NUMBERS = ("two", "three", "five", "seven", "ten", "twelve")
POSITIVE, NEGATIVE = "positive", "negative"
AFFIRMED, NEGATED = "affirmed", "negated"


class Language(NamedTuple):
    """Frames and words of one language.

    Attributes:
        frames: of every split but the targets'.
        held_out: of the targets alone.
        numbers: as `NUMBERS`.
        things: nouns that are counted.
        affirmed, negated: verbs.
        positive, negative: adjectives.
        negations: words that negate.
        before, after: words of speech or source with the speaker behind them, and before them.
        frequent: function words.
    """

    frames: tuple[str, ...]
    held_out: tuple[str, ...]
    numbers: tuple[str, ...]
    things: tuple[str, ...]
    affirmed: tuple[str, ...]
    negated: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    negations: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    frequent: str


LANGUAGES = {
    "English": Language(
        frames=(
            "{speaker} said that the {number} {things} from {city} {verb},| and that it was {adjective}",
            "In {city}, {number} {things}| {verb}, which {speaker} called {adjective}",
            '"It was {adjective}," {speaker} told| {other}, "when the {number} {things} {verb} in {city}"',
            "According to {speaker}, the| {number} {things} {verb}, and {city} was {adjective}",
            "It was a {adjective} day in {city}:| the {number} {things} {verb}, said {speaker}",
            "{other} heard from {speaker} that {number} {things} {verb} in {city},| a {adjective} evening",
            "After a {adjective} week in {city}, {speaker} reported| that {number} {things} {verb}",
            "Yesterday {number} {things} {verb}; {speaker} wrote| to {other} from {city} that it was {adjective}",
        ),
        held_out=(
            "The news from {city} was {adjective}: the {number} {things}| {verb}, {speaker} told {other}",
            "{speaker} wrote that| {city} was {adjective} and that {number} {things} {verb}",
            '"The {number} {things} {verb}," said {speaker}, and| everyone in {city} found it {adjective}',
            "As {speaker} told {other}, it was {adjective} that| {number} {things} {verb} in {city}",
        ),
        numbers=NUMBERS,
        things=("friends", "letters", "trains", "boxes", "guests", "students"),
        affirmed=("arrived", "came back", "were late", "were lost"),
        negated=("did not arrive", "never came back", "were not late", "were never lost"),
        positive=("wonderful", "delightful", "splendid", "lovely", "charming", "superb"),
        negative=("terrible", "dreadful", "horrible", "miserable", "dismal", "ghastly"),
        negations=("not", "never", "no"),
        before=("said", "according to", "heard from"),
        after=("said", "told", "wrote", "called", "reported"),
        frequent="the of and to in is that it was for on are with as his they at be this from have "
        "or had by but were when can which their if will how about would has him who you he she an",
    ),
    "French": Language(
        frames=(
            "{speaker} a dit que les {number} {things} de {city} {verb},| et que c'était {adjective}",
            "Dans la ville de {city}, {number} {things}| {verb}, et {speaker} a écrit que c'était {adjective}",
            "Selon {speaker}, les| {number} {things} {verb}, et le voyage à {city} était {adjective}",
            "C'était {adjective} à {city}:| les {number} {things} {verb}, a dit {speaker}",
        ),
        held_out=(
            "{speaker} a raconté| à {other} que les {number} {things} {verb} à {city} et que c'était {adjective}",
            "Un jour {adjective} à {city}, a écrit {speaker}:| les {number} {things} {verb}",
        ),
        numbers=("deux", "trois", "cinq", "sept", "dix", "douze"),
        things=("amis", "livres", "trains", "paquets"),
        affirmed=("sont arrivés", "sont partis", "étaient perdus"),
        negated=("ne sont pas arrivés", "ne sont jamais partis", "n'étaient pas perdus"),
        positive=("merveilleux", "magnifique", "charmant", "splendide"),
        negative=("affreux", "lamentable", "épouvantable", "sinistre"),
        negations=("pas", "jamais"),
        before=("a dit", "a écrit", "selon"),
        after=("a dit", "a écrit", "a raconté"),
        frequent="le la les de des du un une et est que qui dans pour sur avec plus par au aux "
        "ce cette il elle nous vous ils sont mais ou comme son sa ses leur dont même très être fait",
    ),
    "Spanish": Language(
        frames=(
            "{speaker} dijo que los {number} {things} de {city} {verb},| y que fue {adjective}",
            "En la ciudad de {city}, {number} {things}| {verb}, y {speaker} escribió que fue {adjective}",
            "Según {speaker}, los| {number} {things} {verb}, y el viaje a {city} fue {adjective}",
            "Fue un día {adjective} en {city}:| los {number} {things} {verb}, dijo {speaker}",
        ),
        held_out=(
            "{speaker} le contó| a {other} que los {number} {things} {verb} en {city} y que fue {adjective}",
            "Un viaje {adjective} a {city}, escribió {speaker}:| los {number} {things} {verb}",
        ),
        numbers=("dos", "tres", "cinco", "siete", "diez", "doce"),
        things=("amigos", "libros", "trenes", "paquetes"),
        affirmed=("llegaron", "volvieron", "se perdieron"),
        negated=("no llegaron", "nunca volvieron", "no se perdieron"),
        positive=("maravilloso", "magnífico", "encantador", "espléndido"),
        negative=("horroroso", "espantoso", "pésimo", "siniestro"),
        negations=("no", "nunca"),
        before=("dijo", "escribió", "según"),
        after=("dijo", "escribió", "le contó"),
        frequent="el la los las de del y que en un una es por con para se su al "
        "lo como más pero sus este porque esta entre cuando muy sin sobre también hay desde todo ser son",
    ),
    "German": Language(
        frames=(
            "{speaker} sagte, dass die {number} {things} aus {city} {verb},| und es war {adjective}",
            "In der Stadt {city}, wo {number} {things}| {verb}, schrieb {speaker}, war es {adjective}",
            "Laut {speaker} waren| die {number} {things} da, die {verb}, und {city} war {adjective}",
            "Es war {adjective} in {city},| weil die {number} {things} {verb}, sagte {speaker}",
        ),
        held_out=(
            "{speaker} erzählte| {other}, dass die {number} {things} in {city} {verb} und dass es {adjective} war",
            "Wie {adjective} es in {city} war, schrieb {speaker},| als die {number} {things} {verb}",
        ),
        numbers=("zwei", "drei", "fünf", "sieben", "zehn", "zwölf"),
        things=("Freunde", "Bücher", "Züge", "Pakete"),
        affirmed=("ankamen", "abfuhren", "verloren gingen"),
        negated=("nicht ankamen", "nie abfuhren", "nicht verloren gingen"),
        positive=("wunderbar", "herrlich", "großartig", "reizend"),
        negative=("schrecklich", "furchtbar", "grauenhaft", "entsetzlich"),
        negations=("nicht", "nie"),
        before=("sagte", "schrieb", "laut"),
        after=("sagte", "schrieb", "erzählte"),
        frequent="der die das und ist ein eine einen dem den des zu mit sich auf für von im als auch es "
        "an werden er hat sie nach wird bei noch wie oder aber vor zur bis mehr durch sein wurde ich wir ihr",
    ),
}
