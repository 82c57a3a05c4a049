"""Clinical notes: abbreviations, their English expansions and their Chinese translations."""

from __future__ import annotations

import random
from typing import NamedTuple


class Term(NamedTuple):
    """One abbreviation of the clinical register."""

    short: str
    long: str
    chinese: str


def _terms(text: str) -> tuple[Term, ...]:
    return tuple(Term(*(cell.strip() for cell in row.split("|"))) for row in text.split("\n") if row)


CONDITIONS = _terms("""HTN|hypertension|高血压
DM|diabetes mellitus|糖尿病
CHF|congestive heart failure|充血性心力衰竭
MI|myocardial infarction|心肌梗死
COPD|chronic obstructive pulmonary disease|慢性阻塞性肺病
AF|atrial fibrillation|心房颤动
CKD|chronic kidney disease|慢性肾病
UTI|urinary tract infection|尿路感染
DVT|deep vein thrombosis|深静脉血栓
PE|pulmonary embolism|肺栓塞
TIA|transient ischaemic attack|短暂性脑缺血发作
CVA|cerebrovascular accident|脑血管意外
GERD|gastric reflux disease|胃食管反流病
OA|osteoarthritis|骨关节炎
RA|rheumatoid arthritis|类风湿关节炎
TB|tuberculosis|结核病
URI|upper respiratory infection|上呼吸道感染
CAD|coronary artery disease|冠心病
HLD|hyperlipidaemia|高脂血症
AKI|acute kidney injury|急性肾损伤
IDA|iron deficiency anaemia|缺铁性贫血
OSA|obstructive sleep apnoea|睡眠呼吸暂停
MDD|major depressive disorder|重度抑郁症
BPH|prostate enlargement|前列腺增生""")
FINDINGS = _terms("""SOB|shortness of breath|呼吸困难
CP|chest pain|胸痛
HA|headache|头痛
N/V|nausea and vomiting|恶心呕吐
LOC|loss of consciousness|意识丧失
BP|blood pressure|血压
HR|heart rate|心率
RR|respiratory rate|呼吸频率
ROM|range of motion|活动度
LBP|low back pain|腰痛""")
TREATMENTS = _terms("""ASA|aspirin|阿司匹林
ABX|antibiotics|抗生素
IVF|intravenous fluids|静脉输液
PT|physical therapy|物理治疗
CXR|chest radiograph|胸部X光
ECG|electrocardiogram|心电图
CBC|complete blood count|全血细胞计数
NSAID|anti-inflammatory drug|消炎药
PPI|acid blocker|质子泵抑制剂
OTC|over the counter drug|非处方药""")
TERMS = CONDITIONS + FINDINGS + TREATMENTS
CHINESE_ENTRY = "中文：{short} 即"  # noqa: RUF001  (Chinese text has full-width punctuation)
CHINESE_NOTE = "病历：患者，{age}岁，{ill}，{sign}。治疗：{cure}。"  # noqa: RUF001


def group_of(term: Term) -> tuple[Term, ...]:
    """The conditions, findings or treatments that a term belongs to."""
    return next(group for group in (CONDITIONS, FINDINGS, TREATMENTS) if term in group)


class Note(NamedTuple):
    """A short note, the same note written out, and the conditions in it."""

    short: str
    long: str
    conditions: tuple[Term, Term]


def note(rng: random.Random) -> Note:
    """Draw a note: age, two conditions, a finding, a treatment and its days."""
    ill, also = rng.sample(CONDITIONS, 2)
    sign, cure = rng.choice(FINDINGS), rng.choice(TREATMENTS)
    age, days = rng.randint(20, 90), rng.randint(2, 9)
    return Note(
        short=(f"Pt {age} yo with {ill.short} and {also.short}, c/o {sign.short}. Rx {cure.short} {days} d."),
        long=(
            f"The patient is {age} years old with {ill.long} and {also.long} and complains of "
            f"{sign.long}. Treatment is {cure.long} for {days} days."
        ),
        conditions=(ill, also),
    )


def pair_is_for_test(one: Term, other: Term) -> bool:
    """Whether the note-expansion task keeps this pair of conditions for its test split."""
    return (CONDITIONS.index(one) + CONDITIONS.index(other)) % 3 == 0


def document(rng: random.Random) -> str:
    """A note, a note with its reading, a glossary entry or a Chinese note."""
    kind = rng.random()
    term = rng.choice(TERMS)
    if kind < 0.25:
        return f"Clinical note: {note(rng).short}"
    if kind < 0.45:
        drawn = note(rng)
        return f"Clinical note: {drawn.short}\nIn full: {drawn.long}"
    if kind < 0.65:
        return rng.choice(
            (
                f"{term.short} stands for {term.long}.",
                f"In clinical notes {term.short} means {term.long}.",
                f"{term.long[0].upper()}{term.long[1:]} is written {term.short}.",
                f"{term.short} → {term.long} → {term.chinese}",
            )
        )
    if kind < 0.82:
        return rng.choice(
            (
                f"{term.short} → {term.long} → {term.chinese}",
                f"{term.long} → {term.chinese}",
                f"In Chinese {term.long} is {term.chinese}.",
                f"{CHINESE_ENTRY.format(short=term.short)} {term.chinese}。",
            )
        )
    ill, sign, cure = rng.choice(CONDITIONS), rng.choice(FINDINGS), rng.choice(TREATMENTS)
    return CHINESE_NOTE.format(age=rng.randint(20, 90), ill=ill.chinese, sign=sign.chinese, cure=cure.chinese)
