// SPDX-License-Identifier: GPL-2.0-or-later
/* All of the native decision in one unit, for the program's headers define its maps: what to compile beside a program
 * that uses decision.h. */
#include "decision.c"
#include "sharedmaps.c"
#include "writer.c"
