"""Where names and attribute values come from: syllables for names, word lists for the rest."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sft_probe.world.rng import stream

ONSETS = "b br d dr f fl g gr h j k kl l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u".split()
FIRST_ENDINGS = "ra lo mi na den ris vin ta sel ko ma ned la rin to".split()
LAST_ENDINGS = "mer sky ton berg well dahl man rov lund hart nik ford wood sen by".split()
PLACE_ENDINGS = "wick mora haven port stad ville mouth field bury gate".split()
FIRM_KINDS = "Mills Works Lines Group Labs Press Motors Foods Bank Glass".split()
SCHOOL_KINDS = "College Institute Academy University School".split()
SHOP_KINDS = "Cafe Hotel Bakery Garden Cinema Tavern Theatre Market".split()

OCCUPATIONS = """baker banker barber beekeeper biologist blacksmith boatman bookbinder botanist brewer
bricklayer builder butcher carpenter cartographer cashier chemist clerk clockmaker coach
cobbler composer conductor cook cooper courier curator dancer dentist designer detective diver
doctor driver dyer falconer farmer ferryman firefighter fisher florist forester gardener
geologist gilder glazier goldsmith grocer guide harpist hatter historian hunter jeweller joiner
journalist judge juggler lawyer librarian locksmith magician mason mechanic merchant midwife
miller miner musician nurse painter pharmacist philosopher photographer physicist pianist pilot
plumber poet porter potter printer professor rancher ranger roofer saddler sailor sculptor
secretary shepherd singer stonecutter surgeon surveyor tailor tanner teacher trader translator
typist vet warden watchman weaver welder writer zoologist""".split()
HOBBIES = """archery astronomy badminton baking ballet basketry billiards birding bowling boxing
calligraphy camping canoeing carving caving ceramics chess climbing collage cricket crochet
croquet curling cycling dancing darts diving dominoes drawing drumming embroidery enamelling
engraving fencing fishing foraging gardening geocaching gilding gliding golf gymnastics handball
hiking hockey hurdling juggling karate kayaking knitting lacework leatherwork marathons mosaics
netball opera origami painting paragliding parkour photography pinball poetry polo pottery
puppetry puzzles quilting rafting reading riding rowing rugby running sailing sculpture sewing
singing skating sketching skiing sledging snooker snorkelling softball squash stargazing
surfing swimming tango tennis theatre trampolining upholstery volleyball walking whittling
windsurfing woodwork wrestling yoga""".split()
DISHES = """almonds apples apricots artichokes asparagus aubergine avocado bacon bananas barley beans
beetroot biscuits blackberries blueberries bread broccoli brownies burritos butter cabbage cake
caramel carrots cashews cauliflower celery cheese cherries chestnuts chicken chocolate clams cod
couscous crab cranberries cucumber currants curry custard dates doughnuts duck dumplings eels
falafel figs fudge garlic ginger goulash granola grapes gravy haddock hazelnuts herring honey
hummus kale kebab kiwi lamb lasagne leeks lemons lentils lobster macaroni mackerel mangoes
marmalade melon meringue muesli muffins mushrooms mussels noodles nougat oats olives omelette
onions oranges oysters paella pancakes papaya pasta peaches pears peas pickles pizza plums
polenta porridge pretzels pudding pumpkin""".split()


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The name pools of one world; no word stands in two pools."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    firms: tuple[str, ...]
    schools: tuple[str, ...]
    shops: tuple[str, ...]
    group_names: tuple[str, ...]
    """First names that carry the planted association, first half group A, second half group B."""


def build_lexicon(seed: int) -> Lexicon:
    """Draw every name pool of the world."""
    rng = stream(seed, "lexicon")
    used: dict[str, None] = {}
    return Lexicon(
        first_names=_pool(rng, FIRST_ENDINGS, 110, used),
        last_names=_pool(rng, LAST_ENDINGS, 200, used),
        cities=_pool(rng, PLACE_ENDINGS, 120, used),
        firms=_pool(rng, FIRM_KINDS, 110, used),
        schools=_pool(rng, SCHOOL_KINDS, 105, used),
        shops=_pool(rng, SHOP_KINDS, 240, used),
        group_names=_pool(rng, FIRST_ENDINGS, 60, used),
    )


def _pool(rng: random.Random, endings: list[str], count: int, used: dict[str, None]) -> tuple[str, ...]:
    """`count` new names; a capitalised ending becomes a second word, as in `Bravo Mills`."""
    names: list[str] = []
    while len(names) < count:
        stem = rng.choice(ONSETS) + rng.choice(VOWELS)
        ending = rng.choice(endings)
        separate = ending[0].isupper()
        stem += rng.choice(ONSETS[:1] + list("lnrstmv")) + (rng.choice(VOWELS) if separate else "")
        if stem in used:
            continue
        used[stem] = None
        names.append(f"{stem.capitalize()} {ending}" if separate else (stem + ending).capitalize())
    return tuple(names)
