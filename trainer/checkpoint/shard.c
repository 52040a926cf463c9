#include "trainer/checkpoint/shard.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/base/problems.h"
#include "trainer/checkpoint/h5.h"
#include "trainer/checkpoint/range.h"

enum { DATASET_BYTES = 96 };

static void dataset_name(char out[DATASET_BYTES], const char *tensor, size_t lo, bool again)
{
    if (again)
        snprintf(out, DATASET_BYTES, "%s@%zu", tensor, lo);
    else
        snprintf(out, DATASET_BYTES, "%s", tensor);
}

/* --- writing --- */

static void write_attribute(hid_t set, const char *name, uint64_t value, struct failure *f)
{
    const hid_t space = H5_OK(f, H5Screate(H5S_SCALAR));
    const hid_t a = H5_OK(f, H5Acreate2(set, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT));
    H5_OK(f, H5Awrite(a, H5T_NATIVE_UINT64, &value));
    H5_OK(f, H5Aclose(a));
    H5_OK(f, H5Sclose(space));
}

/* By tensor, and where they start. */
static int slice_order(const void *a, const void *b)
{
    const struct slice *x = *(const struct slice *const *)a, *y = *(const struct slice *const *)b;
    const int names = strcmp(x->name, y->name);
    return names ? names : (x->at.lo > y->at.lo) - (x->at.lo < y->at.lo);
}

/* again[i]: the list has a slice of the same tensor that holds something and starts before it. */
static void find_again(bool *again, const struct slice **in_order, const struct slice *slices,
                       int n)
{
    const struct slice *first = NULL;
    for (int i = 0; i < n; i++) in_order[i] = &slices[i];
    qsort(in_order, (size_t)n, sizeof *in_order, slice_order);
    for (int i = 0; i < n; i++) {
        const struct slice *s = in_order[i];
        if (first && strcmp(first->name, s->name) != 0) first = NULL;
        again[s - slices] = first && first->at.lo < s->at.lo;
        if (!first && s->at.lo < s->at.hi) first = s;
    }
}

/* The caller's; NULL with a failure. */
static bool *again_of(const struct slice *slices, int n, struct failure *f)
{
    bool *again = calloc((size_t)n + 1, sizeof *again);
    const struct slice **in_order = malloc(((size_t)n + 1) * sizeof(const struct slice *));
    if (again && in_order)
        find_again(again, in_order, slices, n);
    else
        failure_note(f, "no memory", "ordering %d slices", n);
    free(in_order);
    return again;
}

/* NaN as fill value: what was never written must not pass for zeros. No time of change: equal
 * tensors are equal files. */
static void write_slice(hid_t file, const char *name, const struct slice *s, struct failure *f)
{
    const float nothing = NAN;
    const hsize_t n = range_count(&s->at);
    const hid_t space = H5_OK(f, H5Screate_simple(1, &n, NULL));
    const hid_t links = H5_OK(f, H5Pcreate(H5P_LINK_CREATE)),
                props = H5_OK(f, H5Pcreate(H5P_DATASET_CREATE));
    H5_OK(f, H5Pset_create_intermediate_group(links, 1));
    H5_OK(f, H5Pset_fill_value(props, H5T_NATIVE_FLOAT, &nothing));
    H5_OK(f, H5Pset_obj_track_times(props, false));
    const hid_t set =
        H5_OK(f, H5Dcreate2(file, name, H5T_IEEE_F32LE, space, links, props, H5P_DEFAULT));
    write_attribute(set, "lo", s->at.lo, f);
    write_attribute(set, "hi", s->at.hi, f);
    write_attribute(set, "n", s->n, f);
    if (s->at.run) {
        write_attribute(set, "run", s->at.run, f);
        write_attribute(set, "stride", s->at.stride, f);
    }
    H5_OK(f, H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->data));
    H5_OK(f, H5Dclose(set));
    H5_OK(f, H5Pclose(props));
    H5_OK(f, H5Pclose(links));
    H5_OK(f, H5Sclose(space));
}

/* Readable by HDF5 1.10 and later; no locks (many cluster file systems have none); closing takes
 * all ids with it. */
static hid_t access_list(struct failure *f)
{
    const hid_t list = H5_OK(f, H5Pcreate(H5P_FILE_ACCESS));
    H5_OK(f, H5Pset_libver_bounds(list, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110));
    H5_OK(f, H5Pset_fclose_degree(list, H5F_CLOSE_STRONG));
#if H5_VERSION_GE(1, 10, 7)
    H5_OK(f, H5Pset_file_locking(list, false, true));
#endif
    return list;
}

/* Looks between slices whether another rank has failed: no rank writes for minutes what is thrown
 * away. */
static void write_shard(const char *path, const struct slice *slices, int n,
                        struct shard_progress *progress, struct failure *f)
{
    h5_enter();
    bool *again = again_of(slices, n, f);
    const hid_t list = access_list(f);
    const hid_t file = H5_OK(f, H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, list));
    for (int i = 0; i < n && !failed(f); i++) {
        if (slices[i].at.lo == slices[i].at.hi) continue;
        char name[DATASET_BYTES];
        dataset_name(name, slices[i].name, slices[i].at.lo, again[i]);
        if (atomic_load(&progress->stop))
            failure_note(f, "another rank's write failed", "writing %s", path);
        write_slice(file, name, &slices[i], f);
        atomic_fetch_add(&progress->moved, 1);
    }
    H5_OK(f, H5Fclose(file));
    H5_OK(f, H5Pclose(list));
    h5_leave();
    free(again);
}

bool shard_write(struct file_sum *sum, const char *folder, const char *name,
                 const struct slice *slices, int n, struct shard_progress *progress,
                 struct failure *f)
{
    char tmp[PATH_BYTES];
    path_make(tmp, "%s/%s.tmp", folder, name);
    write_shard(tmp, slices, n, progress, f);
    const bool ok = !failed(f) && file_sum_of(tmp, sum, f) && file_commit(folder, name, f);
    atomic_fetch_add(&progress->moved, 1);
    if (!ok) unlink(tmp);
    return ok;
}

/* --- verification --- */

static const char REMEDY[] = "use another checkpoint, or restore a copy of the file";

/* Cheapest check first: a shard of the wrong size is not read to the end. */
bool shard_check(const struct manifest *m, const char *folder, int i, struct problems *p)
{
    char name[64], path[PATH_BYTES];
    struct stat st;
    struct file_sum is;
    struct failure f = {0};
    const struct file_sum *must = &m->shard[i];
    shard_name(name, i, m->shards);
    path_make(path, "%s/%s", folder, name);
    if (stat(path, &st) != 0)
        problems_add(p, path, 0, "missing; the manifest lists it with %" PRIu64 " bytes; %s",
                     must->bytes, REMEDY);
    else if ((uint64_t)st.st_size != must->bytes)
        problems_add(p, path, 0, "%s: it ends at byte %lld, the manifest says %" PRIu64 "; %s",
                     (uint64_t)st.st_size < must->bytes ? "truncated" : "too long",
                     (long long)st.st_size, must->bytes, REMEDY);
    else if (!file_sum_of(path, &is, &f))
        problems_add(p, path, 0, "cannot be read: %s; %s", f.why, REMEDY);
    else if (is.xxh64 != must->xxh64)
        problems_add(p, path, 0,
                     "damaged: the checksum of its %" PRIu64 " bytes is %016" PRIx64
                     ", the manifest says %016" PRIx64 " (changed after it was saved); %s",
                     is.bytes, is.xxh64, must->xxh64, REMEDY);
    else
        return true;
    return false;
}

/* --- reading --- */

/* A dataset in the file, and what of it is wanted. */
struct shard_piece {
    hid_t set, have;
    const struct range *from, *to;
    float *data;
};

/* Both are one run: only what is wanted is read, into its place. */
static void read_run(const struct shard_piece *p, struct failure *f)
{
    const size_t lo = p->from->lo > p->to->lo ? p->from->lo : p->to->lo,
                 hi = p->from->hi < p->to->hi ? p->from->hi : p->to->hi;
    const hsize_t start = lo - p->from->lo, n = hi - lo;
    const hid_t mem = H5_OK(f, H5Screate_simple(1, &n, NULL));
    H5_OK(f, H5Sselect_hyperslab(p->have, H5S_SELECT_SET, &start, NULL, &n, NULL));
    if (!failed(f))
        H5_OK(f, H5Dread(p->set, H5T_NATIVE_FLOAT, mem, p->have, H5P_DEFAULT,
                         p->data + (lo - p->to->lo)));
    H5_OK(f, H5Sclose(mem));
}

/* Columns: the dataset is read whole, and its runs are copied to where they belong. */
static void read_columns(const struct shard_piece *p, struct failure *f)
{
    float *all = malloc(range_count(p->from) * sizeof *all);
    if (!all) failure_note(f, "no memory", "reading %zu elements", range_count(p->from));
    if (!failed(f)) H5_OK(f, H5Dread(p->set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, all));
    if (!failed(f)) range_copy(p->data, p->to, all, p->from);
    free(all);
}

/* What the slice holds, into the place it has in what is wanted. */
static void read_piece(hid_t file, const struct shard_part *part, struct failure *f)
{
    char name[DATASET_BYTES];
    const struct manifest_slice *from = part->from;
    dataset_name(name, part->tensor->name, from->at.lo, from->again);
    struct shard_piece p = {.from = &from->at, .to = &part->to->at, .data = part->to->data};
    p.set = H5_OK(f, H5Dopen2(file, name, H5P_DEFAULT));
    p.have = H5_OK(f, H5Dget_space(p.set));
    const hssize_t holds = H5_OK(f, H5Sget_simple_extent_npoints(p.have));
    if (holds != (hssize_t)range_count(p.from))
        failure_note(f, "its length differs from the manifest's", "reading %s", name);
    if (p.from->run || p.to->run)
        read_columns(&p, f);
    else
        read_run(&p, f);
    H5_OK(f, H5Sclose(p.have));
    H5_OK(f, H5Dclose(p.set));
}

bool shard_read(const char *folder, const char *name, const struct shard_part *part, size_t n,
                struct failure *f)
{
    char path[PATH_BYTES];
    path_make(path, "%s/%s", folder, name);
    h5_enter();
    const hid_t list = access_list(f);
    const hid_t file = H5_OK(f, H5Fopen(path, H5F_ACC_RDONLY, list));
    for (size_t k = 0; k < n && !failed(f); k++) read_piece(file, &part[k], f);
    if (file >= 0) H5_OK(f, H5Fclose(file));
    H5_OK(f, H5Pclose(list));
    h5_leave();
    return !failed(f);
}
