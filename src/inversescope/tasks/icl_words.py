"""The words of in-context learning: one line a word, then what each task of its kind makes of it. Own lists."""

import re

_KINDS = {
    "adjective": (
        ("antonym", "comparative", "superlative"),
        """
        hot cold hotter hottest|big small bigger biggest|fast slow faster fastest|tall short taller tallest
        old young older oldest|rich poor richer richest|hard soft harder hardest|strong weak stronger strongest
        dark light darker darkest|dry wet drier driest|early late earlier earliest|happy sad happier happiest
        heavy light heavier heaviest|high low higher highest|loud quiet louder loudest|thick thin thicker thickest
        wide narrow wider widest|deep shallow deeper deepest|clean dirty cleaner cleanest|sharp dull sharper sharpest
        near far nearer nearest|full empty fuller fullest|long short longer longest|easy hard easier easiest
        """,
    ),
    "verb": (
        ("past tense", "present participle", "third person"),
        """
        go went going goes|eat ate eating eats|run ran running runs|see saw seeing sees|take took taking takes
        give gave giving gives|write wrote writing writes|sing sang singing sings|swim swam swimming swims
        drive drove driving drives|speak spoke speaking speaks|break broke breaking breaks|buy bought buying buys
        think thought thinking thinks|teach taught teaching teaches|find found finding finds
        sleep slept sleeping sleeps|fall fell falling falls|fly flew flying flies|grow grew growing grows
        know knew knowing knows|make made making makes|begin began beginning begins|drink drank drinking drinks
        """,
    ),
    "noun": (
        ("plural", "uppercase", "French"),
        """
        cat cats CAT chat|dog dogs DOG chien|house houses HOUSE maison|child children CHILD enfant
        woman women WOMAN femme|man men MAN homme|book books BOOK livre|tree trees TREE arbre
        city cities CITY ville|day days DAY jour|king kings KING roi|hand hands HAND main|door doors DOOR porte
        foot feet FOOT pied|tooth teeth TOOTH dent|bird birds BIRD oiseau|horse horses HORSE cheval
        bridge bridges BRIDGE pont|wolf wolves WOLF loup|knife knives KNIFE couteau|school schools SCHOOL école
        friend friends FRIEND ami|night nights NIGHT nuit|star stars STAR étoile
        """,
    ),
    "country": (
        ("capital", "language", "continent"),
        """
        France Paris French Europe|Japan Tokyo Japanese Asia|Germany Berlin German Europe|Italy Rome Italian Europe
        Spain Madrid Spanish Europe|Russia Moscow Russian Europe|China Beijing Chinese Asia|Egypt Cairo Arabic Africa
        Poland Warsaw Polish Europe|Greece Athens Greek Europe|Portugal Lisbon Portuguese Europe
        Sweden Stockholm Swedish Europe|Norway Oslo Norwegian Europe|Denmark Copenhagen Danish Europe
        Finland Helsinki Finnish Europe|Hungary Budapest Hungarian Europe|Thailand Bangkok Thai Asia
        Vietnam Hanoi Vietnamese Asia|Kenya Nairobi Swahili Africa|Iran Tehran Persian Asia|Iraq Baghdad Arabic Asia
        Austria Vienna German Europe|Morocco Rabat Arabic Africa|Algeria Algiers Arabic Africa
        """,
    ),
}

# Task -> word -> answer. The tasks of one kind have the same words, so that the query alone does not tell them apart.
PAIRS = {
    task: {row[0]: row[number] for row in map(str.split, re.split(r"[|\n]", lines.strip()))}
    for tasks, lines in _KINDS.values()
    for number, task in enumerate(tasks, 1)
}
KIND_OF = {task: kind for kind, (tasks, _) in _KINDS.items() for task in tasks}
