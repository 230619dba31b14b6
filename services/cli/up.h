/* `gantry up`: all services on this machine under one supervisor. */
#ifndef GANTRY_CLI_UP_H
#define GANTRY_CLI_UP_H

/* argv[0] is "up"; see `gantry up --help`. Returns the process's exit code. */
int cmd_up(int argc, char **argv);

#endif
