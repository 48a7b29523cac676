// near[i, s]: the row of another group nearest to anchors[i] within slice s, and its f64 distance;
// far[i, s]: the farthest other row of its own group. NONE where there is none; ties go to the
// smaller index.
// values [n, dim] row-major, sq_norms, slacks and groups [n], anchors [n_anchors];
// near_rows, near_sq_l2, far_rows and far_sq_l2 [n_anchors, gridDim.x].
// Slice s is the rows from s * slice on, slice of them, a multiple of COLS.
// Grid (slices, ceil(n_anchors/TILE)), block (THREADS_X, THREADS_Y). LANES threads scan an anchor's
// rows, each every LANES-th; f32 leaves those within twice the slack of the best so far, and f64
// decides among them.
// k ascends and nothing is atomic: the same input gives the same bits on every run.
#define LANES (THREADS / TILE)

// The best row so far: by f32 to leave out, by f64 to decide.
struct Best {
    float approx;
    double sq_l2;
    unsigned int row;
};

// Whether (sq_l2, row) comes before what is held, sign 1 for the least distance, -1 for the most.
__device__ __forceinline__ bool is_better(const Best &held, double sign, double sq_l2,
                                          unsigned int row) {
    if (held.row == NONE || sign * sq_l2 < sign * held.sq_l2) return true;
    return sq_l2 == held.sq_l2 && row < held.row;
}

__device__ __forceinline__ void consider(const Rows &rows, unsigned int anchor, unsigned int row,
                                         double sign, Best &best) {
    const double sq_l2 = exact_sq_l2(rows, anchor, row);
    if (is_better(best, sign, sq_l2, row)) {
        best.sq_l2 = sq_l2;
        best.row = row;
    }
}

// One thread's share of one anchor's distances to the COLS rows from first_row on.
__device__ __forceinline__ void scan(const Rows &rows, const unsigned int *groups,
                                     unsigned int anchor, double slack, const float *distances,
                                     unsigned int first_row, Best &near, Best &far) {
    const unsigned int own = groups[anchor], lane = thread_index() % LANES;
    const unsigned int n_cols = min(rows.n - first_row, COLS);
    for (unsigned int j = lane; j < n_cols; j += LANES) {
        const bool is_own = groups[first_row + j] == own;
        if (!is_own) near.approx = fminf(near.approx, distances[j]);
        if (is_own && first_row + j != anchor) far.approx = fmaxf(far.approx, distances[j]);
    }
    const float nearest = __double2float_ru(__dadd_rn((double)near.approx, 2.0 * slack));
    const float farthest = __double2float_rd(__dsub_rn((double)far.approx, 2.0 * slack));
    for (unsigned int j = lane; j < n_cols; j += LANES) {
        const unsigned int row = first_row + j;
        const bool is_own = groups[row] == own;
        if (!is_own && distances[j] <= nearest) consider(rows, anchor, row, 1.0, near);
        if (is_own && row != anchor && distances[j] >= farthest) {
            consider(rows, anchor, row, -1.0, far);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) hardest(
    const float *__restrict__ values, const float *__restrict__ sq_norms, unsigned int n,
    unsigned int dim, unsigned int is_bounded, const double *__restrict__ slacks,
    const unsigned int *__restrict__ groups, const unsigned int *__restrict__ anchors,
    unsigned int n_anchors, unsigned int slice, unsigned int *__restrict__ near_rows,
    double *__restrict__ near_sq_l2, unsigned int *__restrict__ far_rows,
    double *__restrict__ far_sq_l2) {
    __shared__ __align__(16) Shared shared;
    __shared__ Best bests[2][THREADS];
    const Rows rows = {values, sq_norms, n, dim, is_bounded};
    const unsigned int first_anchor = blockIdx.y * TILE;
    const unsigned int at = thread_index() / LANES, place = first_anchor + at;
    const unsigned int first = blockIdx.x * slice, end = min(n - first, slice) + first;
    Best near = {INFINITE, 0.0, NONE}, far = {-INFINITE, 0.0, NONE};
    for (unsigned int first_row = first; first_row < end; first_row += COLS) {
        float d[4][8];
        tile_distances(shared, rows, anchors, first_anchor, n_anchors, first_row, d);
        share_distances(shared, d);
        if (place < n_anchors) {
            const unsigned int anchor = anchors[place];
            scan(rows, groups, anchor, slacks[anchor], shared.distances[at], first_row, near, far);
        }
    }
    bests[0][thread_index()] = near;
    bests[1][thread_index()] = far;
    __syncthreads(); // every lane's best is there
    if (thread_index() % LANES != 0 || place >= n_anchors) return;
    for (unsigned int lane = 1; lane < LANES; ++lane) {
        const Best other_near = bests[0][thread_index() + lane];
        const Best other_far = bests[1][thread_index() + lane];
        if (other_near.row != NONE &&
            is_better(near, 1.0, other_near.sq_l2, other_near.row)) near = other_near;
        if (other_far.row != NONE &&
            is_better(far, -1.0, other_far.sq_l2, other_far.row)) far = other_far;
    }
    const size_t out = (size_t)place * gridDim.x + blockIdx.x;
    near_rows[out] = near.row;
    near_sq_l2[out] = near.sq_l2;
    far_rows[out] = far.row;
    far_sq_l2[out] = far.sq_l2;
}
