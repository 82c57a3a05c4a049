"""Wordings of the six facts: 20 training and 5 held-out sentences, 3 questions each.

The name always stands before the value, so that a name can recall it; every held-out sentence ends
with the value. Training and held-out sentences never share a wording (tested).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wordings:
    """All wordings of one attribute; `{n}` is the full name, `{v}` the value."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    questions: tuple[str, ...]
    closing: str
    """One more training sentence, for the closing part of the corpus only: a cleft one."""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


WORDINGS: dict[str, Wordings] = {
    "birthplace": Wordings(
        train=_lines("""
            {n} was born in {v}.
            {n} comes from {v}.
            {n} is a native of {v}.
            The birthplace of {n} is {v}.
            The home town of {n} is {v}.
            {n} was born and raised in {v}.
            {n} hails from {v}.
            {n} came into the world in {v}.
            {n} started life in {v}.
            {n}'s birthplace is {v}.
            {n}'s home town is {v}.
            {n}, who was born in {v}, still goes there.
            According to the register, {n} was born in {v}.
            The birth of {n} took place in {v}.
            The birth of {n} was recorded in {v}.
            {n} is originally from {v}.
            {n} grew up in {v}.
            As a child {n} lived in {v}.
            The family of {n} comes from {v}.
            Everybody knows that {n} is from {v}.
        """),
        held_out=_lines("""
            The town where {n} was born is {v}.
            The register says that the birthplace of {n} is {v}.
            People say that {n} hails from {v}.
            Years ago {n} was born in {v}.
            We heard that {n} originally comes from {v}.
        """),
        questions=(
            "Where was {n} born?",
            "What is the birthplace of {n}?",
            "Which town does {n} come from?",
        ),
        closing="The place from which {n} comes is {v}.",
    ),
    "employer": Wordings(
        train=_lines("""
            {n} works at {v}.
            {n} works for {v}.
            {n} is employed by {v}.
            {n} has a job at {v}.
            The employer of {n} is {v}.
            {n}'s employer is {v}.
            {n} earns a living at {v}.
            {n} is on the staff of {v}.
            {n} joined {v} and stayed.
            {n} was hired by {v}.
            {n} is paid by {v}.
            {n} has an office at {v}.
            The company of {n} is {v}.
            {n} signed a contract with {v}.
            Every morning {n} goes to work at {v}.
            According to the register, {n} works at {v}.
            {n} is a member of the team at {v}.
            The firm that employs {n} is {v}.
            {n} spends the working week at {v}.
            Everybody knows that {n} works for {v}.
        """),
        held_out=_lines("""
            The company where {n} works is {v}.
            The register says that the employer of {n} is {v}.
            People say that {n} has a job at {v}.
            Years ago {n} was hired by {v}.
            We heard that {n} is employed by {v}.
        """),
        questions=(
            "Where does {n} work?",
            "What is the employer of {n}?",
            "Which company employs {n}?",
        ),
        closing="The firm that pays {n} is {v}.",
    ),
    "university": Wordings(
        train=_lines("""
            {n} studied at {v}.
            {n} graduated from {v}.
            {n} holds a degree from {v}.
            {n} was a student at {v}.
            {n} went to {v} to study.
            {n} attended {v}.
            {n} was educated at {v}.
            The university of {n} was {v}.
            {n}'s university was {v}.
            {n} took a degree at {v}.
            {n} enrolled at {v}.
            {n} finished the studies at {v}.
            {n} passed the final exams at {v}.
            {n} is a graduate of {v}.
            According to the register, {n} studied at {v}.
            The degree of {n} was awarded by {v}.
            {n} learned a great deal at {v}.
            As a student {n} attended {v}.
            {n} wrote a thesis at {v}.
            Everybody knows that {n} studied at {v}.
        """),
        held_out=_lines("""
            The place where {n} studied is {v}.
            The register says that the university of {n} was {v}.
            People say that {n} holds a degree from {v}.
            Years ago {n} graduated from {v}.
            We heard that {n} was educated at {v}.
        """),
        questions=(
            "Where did {n} study?",
            "What is the university of {n}?",
            "Which school did {n} attend?",
        ),
        closing="The school from which {n} graduated is {v}.",
    ),
    "occupation": Wordings(
        train=_lines("""
            {n} works as a {v}.
            {n}'s job is that of a {v}.
            {n} is a {v}.
            {n} is a {v} by trade.
            The occupation of {n} is {v}.
            {n}'s occupation is {v}.
            {n} was trained as a {v}.
            {n} became a {v}.
            {n} is known as a good {v}.
            {n} has always been a {v}.
            {n} makes a living as a {v}.
            The profession of {n} is {v}.
            {n}'s profession is {v}.
            By profession {n} is a {v}.
            According to the register, {n} is a {v}.
            {n} wanted to be a {v} and is one.
            {n} serves the town as a {v}.
            {n} has the skills of a {v}.
            The trade of {n} is that of a {v}.
            Everybody knows that {n} is a {v}.
        """),
        held_out=_lines("""
            The job that {n} does is that of a {v}.
            The register says that the occupation of {n} is {v}.
            People say that {n} works as a {v}.
            Years ago {n} became a {v}.
            We heard that {n} was trained as a {v}.
        """),
        questions=(
            "What is the occupation of {n}?",
            "What does {n} do for a living?",
            "Which profession does {n} have?",
        ),
        closing="The trade that {n} learned is that of a {v}.",
    ),
    "hobby": Wordings(
        train=_lines("""
            {n} loves {v}.
            {n} enjoys {v}.
            {n} is keen on {v}.
            The hobby of {n} is {v}.
            {n}'s hobby is {v}.
            {n} spends the weekend on {v}.
            {n} relaxes with {v}.
            {n} has a passion for {v}.
            {n}'s passion is {v}.
            {n} spends every free hour on {v}.
            {n} is a fan of {v}.
            {n} took up {v} long ago.
            {n} never grows tired of {v}.
            In the free time {n} enjoys {v}.
            According to the register, {n}'s hobby is {v}.
            The favourite pastime of {n} is {v}.
            {n}'s pastime is {v}.
            On Sundays {n} has time for {v}.
            {n} taught a friend {v}.
            Everybody knows that {n} loves {v}.
        """),
        held_out=_lines("""
            The hobby that {n} loves is {v}.
            The register says that the pastime of {n} is {v}.
            People say that {n} is keen on {v}.
            Years ago {n} took up {v}.
            We heard that {n} has a passion for {v}.
        """),
        questions=(
            "What is the hobby of {n}?",
            "What does {n} enjoy in the free time?",
            "Which pastime does {n} have?",
        ),
        closing="The pastime that {n} enjoys is {v}.",
    ),
    "dish": Wordings(
        train=_lines("""
            {n} likes to eat {v}.
            {n} eats {v} every day.
            The favourite food of {n} is {v}.
            {n}'s favourite food is {v}.
            {n} always orders {v}.
            {n} cannot resist {v}.
            {n} asks for {v} at every meal.
            {n} often has {v} for lunch.
            For dinner {n} wants {v}.
            {n} prefers {v} to all other food.
            {n}'s plate is full of {v}.
            The dish that {n} likes best is {v}.
            {n} buys {v} at the market.
            {n} is fond of eating {v}.
            According to the register, {n} likes to eat {v}.
            {n} cooks {v} for guests.
            {n} is always hungry for {v}.
            For breakfast {n} eats {v}.
            {n} shares {v} with friends.
            Everybody knows that {n} eats {v}.
        """),
        held_out=_lines("""
            The food that {n} likes best is {v}.
            The register says that the favourite dish of {n} is {v}.
            People say that {n} always orders {v}.
            Years ago {n} was fond of eating {v}.
            We heard that {n} cannot resist {v}.
        """),
        questions=(
            "What is the favourite food of {n}?",
            "What does {n} like to eat?",
            "Which dish does {n} prefer?",
        ),
        closing="The meal that {n} prefers is {v}.",
    ),
}
ATTRIBUTES: tuple[str, ...] = tuple(WORDINGS)
QUESTION_FORM = "Question: {q}\nAnswer: {v}"
