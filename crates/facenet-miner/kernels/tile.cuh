// Squared distances of TILE anchors to COLS rows, by one block: what every kernel here stands on.
//
// d[i, j] = (s_i + s_j) - 2 g, g = sum_k x[i, k] x[j, k], with s the squared norm from the host.
// One accumulator a pair, k ascending, one __fmaf_rn a step; then __fadd_rn and __fsub_rn. No
// operation is left to the compiler's choice of fusing, and nothing is atomic: the same rows give
// the same bits on every device and on the CPU. The error is that of `Slack` in src/slack.rs,
// whose bound holds for every order of the dot product, with or without FMA.
//
// TILE (a multiple of 16, of at most 64) comes by -DTILE. A block is (THREADS_X, THREADS_Y)
// threads; each holds 4 anchors x 8 rows in registers. STEP values of k lie in shared memory at a
// time, transposed, and the next ones are on their way to registers meanwhile.
#ifndef FACENET_TILE_CUH
#define FACENET_TILE_CUH

#define COLS (2 * TILE)
#define STEP 16
#define PAD 4 // keeps 16-byte alignment, and rows of distances in different banks
#define QUADS (STEP / 4)
#define THREADS_X (COLS / 8)
#define THREADS_Y (TILE / 4)
#define THREADS (THREADS_X * THREADS_Y)
#define NONE 0xffffffffu
#define INFINITE __int_as_float(0x7f800000)

// The batch: values [n, dim] row-major, sq_norms [n]. With is_bounded 0 the values are beyond
// f32: every distance is given as 0, and f64 decides everything.
struct Rows {
    const float *values;
    const float *sq_norms;
    unsigned int n, dim, is_bounded;
};

// One step of k, or the distances that it ends in; never both.
union Shared {
    struct {
        float anchors[STEP][TILE + PAD];
        float rows[STEP][COLS + PAD];
    } staged;
    float distances[TILE][COLS + PAD];
};

__device__ __forceinline__ unsigned int thread_index() {
    return threadIdx.y * THREADS_X + threadIdx.x;
}

// Rows lie on 16-byte boundaries.
__device__ __forceinline__ bool is_wide(const Rows &rows) {
    return rows.dim % 4 == 0 && (size_t)rows.values % 16 == 0;
}

// Values k to k + 3 of a row, zero beyond its end and for no row.
__device__ __forceinline__ float4 four(const float *row, unsigned int k, unsigned int dim,
                                       bool wide) {
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (row == nullptr || k >= dim) return x;
    if (wide) return *reinterpret_cast<const float4 *>(row + k);
    x.x = row[k];
    if (k + 1 < dim) x.y = row[k + 1];
    if (k + 2 < dim) x.z = row[k + 2];
    if (k + 3 < dim) x.w = row[k + 3];
    return x;
}

// This thread's share of one step of ROWS rows, on its way from global to shared memory.
template <int ROWS> struct Share {
    static constexpr int COUNT = ROWS * QUADS / THREADS;
    const float *row[COUNT];
    float4 x[COUNT];

    // Rows index[first], index[first + 1], ..., or first, first + 1, ...; none from end on.
    __device__ __forceinline__ void aim(const Rows &rows, const unsigned int *index,
                                        unsigned int first, unsigned int end) {
#pragma unroll
        for (int m = 0; m < COUNT; ++m) {
            const unsigned int place = first + (thread_index() + m * THREADS) / QUADS;
            row[m] = nullptr;
            if (place < end) {
                row[m] = rows.values + (size_t)(index ? index[place] : place) * rows.dim;
            }
        }
    }

    __device__ __forceinline__ void fetch(unsigned int k, unsigned int dim, bool wide) {
#pragma unroll
        for (int m = 0; m < COUNT; ++m) {
            x[m] = four(row[m], k + 4 * (thread_index() % QUADS), dim, wide);
        }
    }

    __device__ __forceinline__ void put(float (*to)[ROWS + PAD]) const {
        const unsigned int k = 4 * (thread_index() % QUADS);
#pragma unroll
        for (int m = 0; m < COUNT; ++m) {
            const unsigned int at = (thread_index() + m * THREADS) / QUADS;
            to[k][at] = x[m].x;
            to[k + 1][at] = x[m].y;
            to[k + 2][at] = x[m].z;
            to[k + 3][at] = x[m].w;
        }
    }
};

// Column of this thread's value j, 0 to 7: two runs of four, COLS / 2 apart.
__device__ __forceinline__ unsigned int column(unsigned int j) {
    return j / 4 * (COLS / 2) + 4 * threadIdx.x + j % 4;
}

// Adds one step's products: k ascends.
__device__ __forceinline__ void multiply(const Shared &shared, float (&dots)[4][8]) {
#pragma unroll
    for (int k = 0; k < STEP; ++k) {
        const float4 a =
            *reinterpret_cast<const float4 *>(&shared.staged.anchors[k][4 * threadIdx.y]);
        const float4 b = *reinterpret_cast<const float4 *>(&shared.staged.rows[k][column(0)]);
        const float4 c = *reinterpret_cast<const float4 *>(&shared.staged.rows[k][column(4)]);
        const float x[4] = {a.x, a.y, a.z, a.w};
        const float y[8] = {b.x, b.y, b.z, b.w, c.x, c.y, c.z, c.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < 8; ++j) dots[i][j] = __fmaf_rn(x[i], y[j], dots[i][j]);
        }
    }
}

// Dot products become distances; those of no anchor and of no row are never looked at.
__device__ __forceinline__ void finish(const Rows &rows, const unsigned int *anchors,
                                       unsigned int first_anchor, unsigned int n_anchors,
                                       unsigned int first_row, float (&d)[4][8]) {
    float norms[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const unsigned int row = first_row + column(j);
        norms[j] = row < rows.n ? rows.sq_norms[row] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned int place = first_anchor + 4 * threadIdx.y + i;
        const float norm = place < n_anchors ? rows.sq_norms[anchors[place]] : 0.0f;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const float sum = __fadd_rn(norm, norms[j]);
            d[i][j] = rows.is_bounded ? __fsub_rn(sum, __fmul_rn(2.0f, d[i][j])) : 0.0f;
        }
    }
}

// d[i][j]: distance of anchor first_anchor + 4 threadIdx.y + i to row first_row + column(j).
// Every thread of the block calls it; afterwards shared memory may still be read by others.
__device__ __forceinline__ void tile_distances(Shared &shared, const Rows &rows,
                                               const unsigned int *anchors,
                                               unsigned int first_anchor, unsigned int n_anchors,
                                               unsigned int first_row, float (&d)[4][8]) {
    const bool wide = is_wide(rows);
    Share<TILE> left;
    Share<COLS> right;
    left.aim(rows, anchors, first_anchor, n_anchors);
    right.aim(rows, nullptr, first_row, rows.n);
    left.fetch(0, rows.dim, wide);
    right.fetch(0, rows.dim, wide);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) d[i][j] = 0.0f;
    }
    for (unsigned int k = 0; k < rows.dim; k += STEP) {
        __syncthreads(); // what lies in shared memory has been read
        left.put(shared.staged.anchors);
        right.put(shared.staged.rows);
        __syncthreads(); // the step is complete
        if (k + STEP < rows.dim) {
            left.fetch(k + STEP, rows.dim, wide);
            right.fetch(k + STEP, rows.dim, wide);
        }
        multiply(shared, d);
    }
    finish(rows, anchors, first_anchor, n_anchors, first_row, d);
}

// Puts the block's distances where all its threads can read them.
__device__ __forceinline__ void share_distances(Shared &shared, const float (&d)[4][8]) {
    __syncthreads(); // the last step has been read
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        float *to = shared.distances[4 * threadIdx.y + i];
        *reinterpret_cast<float4 *>(to + column(0)) =
            make_float4(d[i][0], d[i][1], d[i][2], d[i][3]);
        *reinterpret_cast<float4 *>(to + column(4)) =
            make_float4(d[i][4], d[i][5], d[i][6], d[i][7]);
    }
    __syncthreads(); // the distances are complete
}

// The distance that defines the triplets: sum_k (x_k - y_k)^2 in f64, k ascending, each operation
// rounded once, as `sq_l2` of src/embeddings.rs has it bit for bit.
__device__ __forceinline__ double exact_sq_l2(const Rows &rows, unsigned int x, unsigned int y) {
    const float *p = rows.values + (size_t)x * rows.dim;
    const float *q = rows.values + (size_t)y * rows.dim;
    double sum = 0.0;
    for (unsigned int k = 0; k < rows.dim; ++k) {
        const double diff = __dsub_rn((double)p[k], (double)q[k]);
        sum = __dadd_rn(sum, __dmul_rn(diff, diff));
    }
    return sum;
}

#endif
