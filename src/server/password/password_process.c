/* SPDX-License-Identifier: MIT */
#include "server/password/password_process.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/os/log.h"
#include "server/os/orders.h"

enum { POOL_TURN_MS = 1000 };

int password_process_run(struct pool_channels *channels, struct pool_board *board)
{
    struct fault fault;
    pid_t master = getppid();
    prctl(PR_SET_NAME, "rosterd-passwd");
    orders_take();
    struct pool_server *server = pool_server_open(channels, board, &fault);
    if (server == NULL) {
        log_error("password-processes: %s", fault.text);
        return EXIT_FAILURE;
    }
    /* The kernel tells of the master's end, unless a security module forbids it. */
    while (!orders_to_end() && getppid() == master) {
        pool_server_turn(server, POOL_TURN_MS);
        orders_follow();
    }
    pool_server_close(server);
    return EXIT_SUCCESS;
}
