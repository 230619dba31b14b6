/* Included last by every .c file of the project (CMake forces it): functions that are never safe
 * enough here. */
#ifndef GANTRY_BASE_BANNED_H
#define GANTRY_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison gets strcpy strcat strncpy strncat sprintf vsprintf strtok gmtime localtime     \
    ctime asctime atoi atol atof

#endif
