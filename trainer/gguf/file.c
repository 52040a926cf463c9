#include "trainer/gguf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "trainer/gguf/hf.h"

/* -1: not a file that can be opened; errno is 0 where it is another thing than a file. */
static int open_regular(const char *path, size_t *bytes)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* else a pipe is waited for */
    if (fd < 0) return -1;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        *bytes = (size_t)info.st_size;
        return fd;
    }
    close(fd);
    errno = 0;
    return -1;
}

bool gguf_is_file(const char *path)
{
    char first[4];
    size_t bytes;
    int fd = open_regular(path, &bytes);
    if (fd < 0) return false;
    bool is = read(fd, first, 4) == 4 && memcmp(first, "GGUF", 4) == 0;
    close(fd);
    return is;
}

bool gguf_file_open(struct gguf_file *f, const char *path, struct problems *p)
{
    *f = (struct gguf_file){0};
    int fd = open_regular(path, &f->bytes);
    if (fd >= 0 && f->bytes > 0) f->map = mmap(NULL, f->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (f->map == MAP_FAILED || fd < 0) {
        problems_add(p, path, 0, "cannot be read: %s", errno ? strerror(errno) : "not a file");
        f->map = NULL;
    } else {
        f->g = gguf_parse(f->map ? f->map : "", f->bytes, path, p);
    }
    if (fd >= 0) close(fd);
    return f->g != NULL;
}

void gguf_file_close(struct gguf_file *f)
{
    gguf_free(f->g);
    if (f->map) munmap(f->map, f->bytes);
    *f = (struct gguf_file){0};
}

char *gguf_file_tokenizer(const char *path, size_t *n, struct problems *p)
{
    struct gguf_file f;
    char *json = gguf_file_open(&f, path, p) ? gguf_tokenizer_text(f.g, path, p) : NULL;
    gguf_file_close(&f);
    *n = json ? strlen(json) : 0;
    return json;
}

char *gguf_file_tokenizer_config(const char *path, struct problems *p)
{
    struct gguf_file f;
    char *json = gguf_file_open(&f, path, p) ? gguf_tokenizer_config_text(f.g) : NULL;
    gguf_file_close(&f);
    return json;
}
