/* What every unit test includes: cmocka and what cmocka wants before it. */
#ifndef GANTRY_TESTS_UNIT_H
#define GANTRY_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
