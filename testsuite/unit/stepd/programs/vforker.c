/* vforker.c - stopped between vfork() and execve(), as a command of sh may be: its parent cannot be stopped then */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    pid_t child = vfork();
    if (child == 0) {
        static const char up[] = "up\n";
        if (write(1, up, strlen(up)) < 0)
            _exit(1);
        raise(SIGSTOP);
        execlp("sh", "sh", "-c", "while ! test -e go; do sleep 0.01; done", (char *) 0);
        _exit(127);
    }
    waitpid(child, 0, 0);
    return 0;
}
