"""Cities and where they lie: "She grew up in Lima", read at the city's last token.

The cities are those of `cities.json`, from the GeoNames geographical database under CC BY 4.0 (the file says so itself;
`docs/make_cities.py` makes it), and of these the ones whose country, continent and language the subject knows.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from inversescope.tasks.entities import EntityTask
from inversescope.tasks.registry import register
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject

COUNTRY, CONTINENT, LANGUAGE, CAPITAL = "country", "continent", "language", "capital"
INITIAL, LENGTH = "first letter", "tokens"
CONTEXTS = (
    "City: %s", "She grew up in %s", "We spent the summer in %s", "The train to %s", "A letter from %s",
    "He moved to %s", "The weather in %s", "My parents live in %s", "The streets of %s", "They opened an office in %s",
    "A map of %s", "The flight to %s", "I was born in %s", "The old harbour of %s", "Last night in %s",
    "The mayor of %s", "You should visit %s", "People in %s", "The museum in %s", "On the way to %s",
    "A student from %s", "Welcome to %s", "The news from %s", "Her sister works in %s",
)  # fmt: skip
# The first of each decides which cities the subject knows, the second measures its accuracy.
QUESTIONS = {
    COUNTRY: (
        "City: Paris\nCountry: France\n\nCity: Tokyo\nCountry: Japan\n\nCity: %s\nCountry:",
        "The city of %s is located in the country of",
    ),
    CONTINENT: (
        "City: Paris\nContinent: Europe\n\nCity: Tokyo\nContinent: Asia\n\nCity: %s\nContinent:",
        "Paris is in Europe. Tokyo is in Asia. Lagos is in Africa. Lima is in South America. %s is in",
    ),
    LANGUAGE: (
        "City: Paris\nLanguage: French\n\nCity: Tokyo\nLanguage: Japanese\n\nCity: %s\nLanguage:",
        "The official language spoken in %s is",
    ),
}


class CitiesConfig(TaskConfig):
    """Cities with their country, continent and language (GeoNames, CC BY 4.0), as far as the subject knows them."""

    name: Literal["cities"] = Field(default="cities", description="the task: cities and where they lie")
    contexts: int = Field(
        default=len(CONTEXTS), ge=1, le=len(CONTEXTS), description="number of contexts in which a city stands, 1 to 24"
    )
    attributes: tuple[Literal["country", "continent", "language"], ...] = Field(
        default=(COUNTRY, CONTINENT, LANGUAGE),
        min_length=1,
        description="attributes of a city; only cities of which the subject knows all of them are inputs",
    )
    force: bool = Field(default=False, description="run the task even if the subject is too inaccurate at it")


@register(CitiesConfig)
class Cities(EntityTask):
    """The task for one subject's tokenizer. Features: the city, its attributes, whether it is a capital, its first
    letter, how many tokens its name takes after a space, and the context.
    """

    name = "cities"

    def __init__(self, config: CitiesConfig, subject: TaskSubject):
        space = len(subject.encode("in"))
        table: dict[str, Labels] = {
            city: {
                COUNTRY: country,
                CONTINENT: continent,
                LANGUAGE: language,
                CAPITAL: capital,
                INITIAL: city[0],
                LENGTH: str(len(subject.encode(f"in {city}")) - space),
            }
            for city, country, continent, language, capital in _cities()
        }
        questions = {attribute: QUESTIONS[attribute] for attribute in config.attributes}
        super().__init__(subject, "city", CONTEXTS[: config.contexts], table, questions)


@cache
def _cities() -> list[list[str]]:
    """Name, country, continent, language, and "capital" or "other"."""
    return json.loads(files("inversescope.tasks").joinpath("cities.json").read_text("utf-8"))["cities"]
