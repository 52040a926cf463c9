// contained
#include <stdio.h>
#include <sys/socket.h>
int main(void)
{
    int seen = 0, pair[2];
    for (int family = 0; family < 46; family++)
        for (int kind = 1; kind < 6; kind++) seen += socket(family, kind, 0) >= 0;
    seen += socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
    puts(seen ? "escaped" : "contained");
}
