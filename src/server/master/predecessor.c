/* SPDX-License-Identifier: MIT */
#include "server/master/predecessor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/master/handover.h"

void predecessor_find(struct predecessor *predecessor)
{
    const char *text = getenv(HANDOVER_VARIABLE);
    int segment_fd, channel, data_fd = -1;
    *predecessor = (struct predecessor){.segment_fd = -1, .data_fd = -1, .channel = -1};
    if (text == NULL || sscanf(text, "%d %d %d", &segment_fd, &channel, &data_fd) < 2)
        return;
    *predecessor = (struct predecessor){
        .segment_fd = segment_fd, .data_fd = data_fd, .channel = channel};
    if (data_fd >= 0)
        fcntl(data_fd, F_SETFD, FD_CLOEXEC);
    fcntl(segment_fd, F_SETFD, FD_CLOEXEC);
    fcntl(channel, F_SETFD, FD_CLOEXEC);
}

void predecessor_keep_open(const struct predecessor *predecessor)
{
    if (predecessor->channel < 0)
        return;
    fcntl(predecessor->segment_fd, F_SETFD, 0);
    if (predecessor->data_fd >= 0)
        fcntl(predecessor->data_fd, F_SETFD, 0);
    fcntl(predecessor->channel, F_SETFD, 0);
}

void predecessor_report_ready(const struct predecessor *predecessor)
{
    static const char message = HANDOVER_READY;
    (void)send(predecessor->channel, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void predecessor_done(struct predecessor *predecessor)
{
    char message;
    (void)recv(predecessor->channel, &message, 1, MSG_DONTWAIT);
    close(predecessor->channel);
    predecessor->channel = -1;
}
