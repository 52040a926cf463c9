#include "trainer/reward/math/units.h"
#include <string.h>

static const struct unit units[] = {
    {"m meter meters metre metres", UNIT_LENGTH, 1, 1},
    {"cm centimeter centimeters centimetre centimetres", UNIT_LENGTH, 1, 100},
    {"mm millimeter millimeters millimetre millimetres", UNIT_LENGTH, 1, 1000},
    {"km kilometer kilometers kilometre kilometres", UNIT_LENGTH, 1000, 1},
    {"in inch inches", UNIT_LENGTH, 254, 10000},
    {"ft foot feet", UNIT_LENGTH, 3048, 10000},
    {"yd yard yards", UNIT_LENGTH, 9144, 10000},
    {"mi mile miles", UNIT_LENGTH, 1609344, 1000},
    {"g gm gram grams", UNIT_MASS, 1, 1},
    {"kg kilogram kilograms", UNIT_MASS, 1000, 1},
    {"mg milligram milligrams", UNIT_MASS, 1, 1000},
    {"lb lbs pound pounds", UNIT_MASS, 45359237, 100000},
    {"oz ounce ounces", UNIT_MASS, 45359237, 1600000},
    {"l L liter liters litre litres", UNIT_VOLUME, 1, 1},
    {"ml mL milliliter milliliters millilitre millilitres", UNIT_VOLUME, 1, 1000},
    {"gal gallon gallons", UNIT_VOLUME, 3785411784, 1000000000},
    {"s sec secs second seconds", UNIT_TIME, 1, 1},
    {"min mins minute minutes", UNIT_TIME, 60, 1},
    {"h hr hrs hour hours", UNIT_TIME, 3600, 1},
    {"day days", UNIT_TIME, 86400, 1},
    {"week weeks", UNIT_TIME, 604800, 1},
    {"dollar dollars USD", UNIT_MONEY, 1, 1},
    {"cent cents", UNIT_MONEY, 1, 100},
    {"degree degrees", UNIT_ANGLE, 1, 1},
    {"mph", UNIT_SPEED, 44704, 100000},
    {"kmph kph", UNIT_SPEED, 1000, 3600},
    {"month months year years rupee rupees unit units point points student students people person "
     "men man women woman way ways tile tiles coin coins apple apples integer integers digit "
     "digits edge edges square cubic sq time times ball balls book books child children boy boys "
     "girl girls number numbers triangle triangles side sides solution solutions page pages",
     UNIT_THINGS, 1, 1},
};

static bool has_word(const char *names, struct span name)
{
    struct span rest = {names, strlen(names)};
    while (rest.n) {
        struct span word = span_take(&rest, ' ');
        if (word.n == name.n && memcmp(word.at, name.at, name.n) == 0) return true;
    }
    return false;
}

const struct unit *math_unit(struct span name)
{
    if (name.n == 0 || memchr(name.at, ' ', name.n)) return NULL;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (has_word(units[i].names, name)) return &units[i];
    return NULL;
}
