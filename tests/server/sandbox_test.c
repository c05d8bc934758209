/* SPDX-License-Identifier: Apache-2.0
 *
 * What is refused inside the sandbox, and what serving needs is not. Each try is a process of its
 * own, since nothing leads back out. */
#include "server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64]; /* data, cert/a.pem and outside in it */

static const char *in_folder(const char *name)
{
    static char path[4][160];
    static int  next;
    char       *out = path[next++ & 3];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void make_file(const char *name)
{
    int fd = open(in_folder(name), O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/wfl-sandbox-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    mkdir(in_folder("data"), 0700);
    mkdir(in_folder("cert"), 0700);
    make_file("cert/a.pem");
    make_file("outside");
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* The errno of `try` in a process of its own, behind the files' or the calls' fence; 0: it went
 * well; minus a signal that ended it. -1000: there is no such fence on this kernel. */
static int outcome(int (*try)(void), bool of_files)
{
    struct wfl_sandbox_files files = {
        .writable = in_folder("data"), .readable = {in_folder("cert/a.pem")}, .readable_count = 1};
    enum wfl_sandbox_state fence = WFL_SANDBOX_OFF;
    wfl_error              err;
    int                    status = 0;
    pid_t                  pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        wfl_code rc =
            of_files ? wfl_sandbox_files(&files, &fence, &err) : wfl_sandbox_calls(&fence, &err);

        if (rc != WFL_OK) _exit(250);
        _exit(fence == WFL_SANDBOX_ON ? try() : 251);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) return -WTERMSIG(status);
    assert_int_not_equal(WEXITSTATUS(status), 250);
    return WEXITSTATUS(status) == 251 ? -1000 : WEXITSTATUS(status);
}

static int result(long rc)
{
    return rc < 0 ? errno : 0;
}

/* ---- files */

static int open_one(const char *name, int flags)
{
    int fd = open(in_folder(name), flags | O_CLOEXEC, 0600);

    return result(fd);
}
static int read_outside(void)
{
    return open_one("outside", O_RDONLY);
}
static int write_outside(void)
{
    return open_one("outside", O_WRONLY);
}
static int make_outside(void)
{
    return open_one("new", O_CREAT | O_WRONLY);
}
static int list_outside(void)
{
    return open_one(".", O_RDONLY | O_DIRECTORY);
}
static int read_passwords(void)
{
    return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}
static int read_other_process(void)
{
    return result(open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
}
static int write_certificate(void)
{
    return open_one("cert/a.pem", O_WRONLY);
}
static int cut_certificate(void)
{
    return result(truncate(in_folder("cert/a.pem"), 0));
}
static int remove_certificate(void)
{
    return result(unlink(in_folder("cert/a.pem")));
}
static int leave_data(void)
{
    if (open_one("data/x", O_CREAT | O_WRONLY) != 0) return 200;
    return result(rename(in_folder("data/x"), in_folder("x")));
}
static int link_in(void)
{
    return result(link(in_folder("outside"), in_folder("data/theirs")));
}
static int link_by_name(void)
{
    return result(symlink("/etc/passwd", in_folder("data/theirs")));
}
static int make_pipe(void)
{
    return result(mkfifo(in_folder("data/pipe"), 0600));
}
static int run_program(void)
{
    char *const words[] = {"true", NULL};

    execv("/bin/true", words);
    return errno;
}
static int connect_somewhere(void)
{
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return result(connect(fd, (struct sockaddr *)&to, sizeof to));
}

static int read_certificate(void)
{
    return open_one("cert/a.pem", O_RDONLY);
}
static int use_data(void)
{
    int fd = open(in_folder("data/file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 100) != 0 || fdatasync(fd) != 0)
        return errno;
    if (mkdir(in_folder("data/sub"), 0700) != 0 ||
        rename(in_folder("data/file"), in_folder("data/sub/file")) != 0 ||
        link(in_folder("data/sub/file"), in_folder("data/file")) != 0 ||
        unlink(in_folder("data/file")) != 0 || unlink(in_folder("data/sub/file")) != 0) {
        return errno;
    }
    return result(rmdir(in_folder("data/sub")));
}
static int read_own_memory_use(void)
{
    return result(open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
}
/* A renewed certificate is another file with the same name. */
static int read_renewed(void)
{
    return open_one("cert/b.pem", O_RDONLY);
}

struct
try {
    const char *name;
    int (*run)(void);
    int expected;
};

static void check(const struct try *tries, size_t count, bool of_files)
{
    for (size_t i = 0; i < count; i++) {
        int got = outcome(tries[i].run, of_files);

        if (got == -1000) {
            print_message("this kernel has none\n");
            skip();
        }
        if (got != tries[i].expected)
            fail_msg("%s: %d (%s)", tries[i].name, got, got > 0 ? strerror(got) : "");
    }
}

static void other_files_are_out_of_reach(void **state)
{
    static const struct try tries[] = {
        {"read outside", read_outside, EACCES},
        {"write outside", write_outside, EACCES},
        {"make outside", make_outside, EACCES},
        {"list outside", list_outside, EACCES},
        {"read passwords", read_passwords, EACCES},
        {"read another process", read_other_process, EACCES},
        {"write the certificate", write_certificate, EACCES},
        {"cut the certificate", cut_certificate, EACCES},
        {"remove the certificate", remove_certificate, EACCES},
        {"move out of the data", leave_data, EACCES},
        {"link into the data", link_in, EXDEV},
        {"symlink", link_by_name, EACCES},
        {"pipe", make_pipe, EACCES},
        {"run a program", run_program, EACCES},
        {"connect", connect_somewhere, EACCES},
    };

    (void)state;
    check(tries, WFL_COUNT(tries), true);
}

static void what_serving_needs_is_there(void **state)
{
    static const struct try tries[] = {
        {"the certificate", read_certificate, 0},
        {"its successor", read_renewed, 0},
        {"the data", use_data, 0},
        {"own memory use", read_own_memory_use, 0},
    };

    (void)state;
    make_file("cert/b.pem");
    check(tries, WFL_COUNT(tries), true);
}

static void a_missing_folder_is_an_error(void **state)
{
    struct wfl_sandbox_files files = {.writable = in_folder("none")};
    enum wfl_sandbox_state   fence;
    wfl_error                err = {0};
    wfl_code                 rc = wfl_sandbox_files(&files, &fence, &err);

    (void)state;
    if (fence == WFL_SANDBOX_MISSING && rc == WFL_OK) skip();
    assert_int_equal(rc, WFL_IO);
    assert_non_null(strstr(err.message, "none"));
}

/* ---- system calls */

static int trace(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int look_into(void)
{
    return result(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}
static int leave_namespace(void)
{
    return result(syscall(SYS_unshare, 0));
}
static int new_socket(void)
{
    return result(socket(AF_INET, SOCK_STREAM, 0));
}
static int new_process(void)
{
    pid_t pid = fork();

    if (pid == 0) _exit(0);
    return result(pid);
}
static int executable_memory(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : 0;
}
static int make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? 200 : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int kill_others(void)
{
    return result(kill(getppid(), 0));
}
static int be_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
static int keyring(void)
{
    return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}
static int ring(void)
{
    return result(syscall(SYS_io_uring_setup, 1, NULL));
}
static int raise_limit(void)
{
    return result(syscall(SYS_prlimit64, 0, 4, (void *)1, NULL));
}

static void *open_a_socket(void *arg)
{
    int *out = arg;

    *out = result(socket(AF_INET, SOCK_STREAM, 0));
    return NULL;
}
static int new_thread_is_inside(void)
{
    pthread_t thread;
    int       got = 200;

    if (pthread_create(&thread, NULL, open_a_socket, &got) != 0) return 201;
    pthread_join(thread, NULL);
    return got;
}
static int serve_a_little(void)
{
    int             one = 1, fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct timespec pause = {0, 1000};

    if (fd < 0 || write(fd, "x", 1) != 1 || nanosleep(&pause, NULL) != 0) return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (errno != ENOTSOCK) return errno;
    free(malloc(64u << 20));
    return prctl(PR_SET_NAME, "served", 0, 0, 0) != 0 ? errno : 0;
}
static int abort_here(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void calls_of_intruders_end_the_process(void **state)
{
    static const struct try tries[] = {
        {"execve", run_program, -SIGSYS},
        {"ptrace", trace, -SIGSYS},
        {"process_vm_readv", look_into, -SIGSYS},
        {"unshare", leave_namespace, -SIGSYS},
    };

    (void)state;
    check(tries, WFL_COUNT(tries), false);
}

static void other_calls_are_not_there(void **state)
{
    static const struct try tries[] = {
        {"socket", new_socket, ENOSYS},
        {"fork", new_process, ENOSYS},
        {"memory to execute", executable_memory, ENOSYS},
        {"execute memory", make_executable, ENOSYS},
        {"kill", kill_others, ENOSYS},
        {"core dumps", be_dumpable, ENOSYS},
        {"keys of the kernel", keyring, ENOSYS},
        {"io_uring", ring, ENOSYS},
        {"limits", raise_limit, ENOSYS},
        {"socket in a new thread", new_thread_is_inside, ENOSYS},
    };

    (void)state;
    check(tries, WFL_COUNT(tries), false);
}

static void calls_of_serving_are(void **state)
{
    static const struct try tries[] = {
        {"serve", serve_a_little, 0},
        {"abort", abort_here, -SIGABRT},
    };

    (void)state;
    check(tries, WFL_COUNT(tries), false);
}

/* ---- threads that were there before */

static sem_t closed, tried;

static void *wait_and_open_a_socket(void *arg)
{
    sem_wait(&closed);
    open_a_socket(arg);
    sem_post(&tried);
    return NULL;
}

static void threads_that_were_there_are_inside(void **state)
{
    int   status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        enum wfl_sandbox_state fence;
        wfl_error              err;
        pthread_t              thread;
        int                    got = 200;

        sem_init(&closed, 0, 0);
        sem_init(&tried, 0, 0);
        if (pthread_create(&thread, NULL, wait_and_open_a_socket, &got) != 0) _exit(201);
        if (wfl_sandbox_calls(&fence, &err) != WFL_OK) _exit(202);
        sem_post(&closed);
        sem_wait(&tried);
        pthread_join(thread, NULL);
        _exit(got);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_files_are_out_of_reach),
        cmocka_unit_test(what_serving_needs_is_there),
        cmocka_unit_test(a_missing_folder_is_an_error),
        cmocka_unit_test(calls_of_intruders_end_the_process),
        cmocka_unit_test(other_calls_are_not_there),
        cmocka_unit_test(calls_of_serving_are),
        cmocka_unit_test(threads_that_were_there_are_inside),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
