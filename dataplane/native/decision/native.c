// SPDX-License-Identifier: GPL-2.0-or-later
/* The whole native decision in one unit, because the program's headers define its maps. Compile this beside a program that
 * uses decision.h. */
#include "decision.c"
#include "sharedmaps.c"
#include "writer.c"
