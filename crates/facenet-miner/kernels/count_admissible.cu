// counts[p, s] = number of rows of slice s that pair p admits as its negative
// values [n, dim] row-major, sq_norms, slacks and groups [n], anchors [n_anchors],
// first_pairs [n_anchors + 1], places and d_aps [n_pairs], counts [n_pairs, gridDim.x].
// Pairs first_pairs[i] to first_pairs[i + 1] are those of anchors[i], and places[p] = i.
// Slice s is the rows from s * slice on, slice of them, a multiple of COLS.
// Grid (slices, ceil(n_anchors/TILE)), block (THREADS_X, THREADS_Y). The distances of a tile stay
// in shared memory; a thread counts for its pairs, every THREADS-th of the tile.
// k ascends and nothing is atomic: the same input gives the same bits on every run.
extern "C" __global__ void __launch_bounds__(THREADS) count_admissible(
    const float *__restrict__ values, const float *__restrict__ sq_norms, unsigned int n,
    unsigned int dim, unsigned int is_bounded, const double *__restrict__ slacks,
    const unsigned int *__restrict__ groups, const unsigned int *__restrict__ anchors,
    unsigned int n_anchors, const unsigned int *__restrict__ first_pairs,
    const unsigned int *__restrict__ places, const double *__restrict__ d_aps, double margin,
    double allowance, unsigned int semi_hard, unsigned int slice,
    unsigned int *__restrict__ counts) {
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
            const Pair pair = pair_of(rule, anchor, d_aps[p], slacks[anchor]);
            const float *distances = shared.distances[places[p] - first_anchor];
            const unsigned int count = count_row(rows, rule, pair, distances, first_row);
            unsigned int *sum = counts + (size_t)p * gridDim.x + blockIdx.x;
            *sum = first_row == first ? count : *sum + count;
        }
    }
}
