// near_rows[p, s]: the row of slice s nearest to the anchor of pair p among those that the pair
// admits as its negative, and near_approx[p, s] its f32 distance. NONE, at infinity, where there is
// none; ties of f64 distances go to the smaller index.
// Arguments and geometry as in count_admissible.cu, with near_rows and near_approx
// [n_pairs, gridDim.x]. A thread scans for its pairs, every THREADS-th of the tile; f64 decides
// where two f32 distances are within twice the slack, or one within it of a bound.
// k ascends and nothing is atomic: the same input gives the same bits on every run.

// The nearest row so far.
struct Nearest {
    unsigned int row;
    float approx;
};

// Twice the slack beyond x, or before it.
__device__ __forceinline__ float beyond(float x, double slack) {
    return __double2float_ru(__dadd_rn((double)x, __dmul_rn(2.0, slack)));
}
__device__ __forceinline__ float before(float x, double slack) {
    return __double2float_rd(__dsub_rn((double)x, __dmul_rn(2.0, slack)));
}

// Among COLS distances the least above `certain`. Its row exceeds the rule's lower bound: it is
// admissible, or every admissible row is nearer.
__device__ __forceinline__ float least_above(float certain, const float *distances) {
    float least = INFINITE;
    for (unsigned int j = 0; j < COLS; j += 4) {
        const float4 four = *reinterpret_cast<const float4 *>(distances + j);
        const float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int l = 0; l < 4; ++l) least = fminf(least, x[l] > certain ? x[l] : INFINITE);
    }
    return least;
}

// Holds the row at f32 distance x if the pair admits it and it is nearer than what is held.
__device__ __forceinline__ void consider(const Rows &rows, const Rule &rule, const Pair &pair,
                                         double slack, unsigned int row, float x, Nearest &held) {
    if (!is_possible(pair.bracket, x)) return;
    const bool is_nearer = held.row == NONE || x < before(held.approx, slack);
    if (!is_nearer || !is_certain(pair.bracket, x)) {
        const double d_an = exact_sq_l2(rows, pair.anchor, row);
        if (!admits(rule, pair, d_an)) return;
        if (!is_nearer && d_an >= exact_sq_l2(rows, pair.anchor, held.row)) return;
    }
    held.row = row;
    held.approx = x;
}

// Holds the nearest of what is held and of the COLS rows from first_row on that the pair admits.
__device__ __forceinline__ void see_row(const Rows &rows, const Rule &rule, const Pair &pair,
                                        double slack, const float *distances,
                                        unsigned int first_row, Nearest &held) {
    const float least = least_above(pair.bracket.certain_above, distances);
    const float limit = beyond(fminf(least, held.approx), slack);
    for (unsigned int j = 0; j < COLS; j += 4) {
        const float4 four = *reinterpret_cast<const float4 *>(distances + j);
        if (fminf(fminf(four.x, four.y), fminf(four.z, four.w)) > limit) continue;
        for (unsigned int l = j; l < j + 4; ++l) {
            if (distances[l] > limit) continue;
            consider(rows, rule, pair, slack, first_row + l, distances[l], held);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) closest_admissible(
    const float *__restrict__ values, const float *__restrict__ sq_norms, unsigned int n,
    unsigned int dim, unsigned int is_bounded, const double *__restrict__ slacks,
    const unsigned int *__restrict__ groups, const unsigned int *__restrict__ anchors,
    unsigned int n_anchors, const unsigned int *__restrict__ first_pairs,
    const unsigned int *__restrict__ places, const double *__restrict__ d_aps, double margin,
    double allowance, unsigned int semi_hard, unsigned int slice,
    unsigned int *__restrict__ near_rows, float *__restrict__ near_approx) {
    __shared__ __align__(16) Shared shared;
    const Rows rows = {values, sq_norms, n, dim, is_bounded};
    const Rule rule = {margin, allowance, semi_hard};
    const unsigned int first_anchor = blockIdx.y * TILE;
    const unsigned int first_pair = first_pairs[first_anchor];
    const unsigned int end_pair = first_pairs[min(first_anchor + TILE, n_anchors)];
    const unsigned int first = blockIdx.x * slice, end = min(n - first, slice) + first;
    for (unsigned int first_row = first; first_row < end; first_row += COLS) {
        float d[4][8];
        tile_distances(shared, rows, anchors, first_anchor, n_anchors, first_row, d);
        keep_negatives(rows, groups, anchors, first_anchor, n_anchors, first_row, d);
        share_distances(shared, d);
        for (unsigned int p = first_pair + thread_index(); p < end_pair; p += THREADS) {
            const unsigned int anchor = anchors[places[p]];
            const double slack = slacks[anchor];
            const Pair pair = pair_of(rule, anchor, d_aps[p], slack);
            const float *distances = shared.distances[places[p] - first_anchor];
            const size_t out = (size_t)p * gridDim.x + blockIdx.x;
            Nearest held = {NONE, INFINITE};
            if (first_row != first) held = {near_rows[out], near_approx[out]};
            see_row(rows, rule, pair, slack, distances, first_row, held);
            near_rows[out] = held.row;
            near_approx[out] = held.approx;
        }
    }
}
