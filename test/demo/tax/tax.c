/* The service that knows taxes, of the microservice demo: plain C, a thread a
 * connection, a look into Redis for each request. Not a line of tracing.
 *
 *	tax PORT REDIS
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int redis_port;

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("connect");
		exit(1);
	}
	return s;
}

static void *serve(void *arg)
{
	int c = (int)(intptr_t)arg, redis = dial(redis_port);
	char buf[8192], key[256], cmd[512], out[512];
	size_t have = 0;

	for (;;) {
		ssize_t n = read(c, buf + have, sizeof(buf) - 1 - have);
		char *end;

		if (n <= 0)
			break;
		have += n;
		buf[have] = 0;
		end = strstr(buf, "\r\n\r\n");
		if (!end)
			continue;
		if (sscanf(buf, "GET /tax/order/%200[0-9]", key) != 1)
			break;
		n = snprintf(cmd, sizeof(cmd), "*2\r\n$3\r\nGET\r\n$%zu\r\norder:%s\r\n", strlen(key) + 6, key);
		if (write(redis, cmd, n) != n || read(redis, out, sizeof(out)) <= 0)
			break;
		n = snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n2.28");
		if (write(c, out, n) != n)
			break;
		have -= end + 4 - buf;
		memmove(buf, end + 4, have);
	}
	close(redis);
	close(c);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (argc != 3) {
		fprintf(stderr, "usage: tax PORT REDIS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	redis_port = atoi(argv[2]);
	a.sin_port = htons(atoi(argv[1]));
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 128) < 0) {
		perror("listen");
		return 1;
	}
	for (;;) {
		int c = accept(s, 0, 0);
		pthread_t t;

		if (c >= 0 && pthread_create(&t, 0, serve, (void *)(intptr_t)c) == 0)
			pthread_detach(t);
	}
}
