// picks[p] = the row of rank ranks[p], from 0, among those of slice slices[p] that pair p admits
// Arguments and geometry as in count_admissible.cu, with slices, ranks and picks [n_pairs];
// slices[p] is NONE for a pair without a negative, and its pick is left alone. ranks is used up.
// k ascends and nothing is atomic: the same input gives the same bits on every run, and the
// distances are those that count_admissible counted by.
extern "C" __global__ void __launch_bounds__(THREADS) pick_admissible(
    const float *__restrict__ values, const float *__restrict__ sq_norms, unsigned int n,
    unsigned int dim, unsigned int is_bounded, const double *__restrict__ slacks,
    const unsigned int *__restrict__ groups, const unsigned int *__restrict__ anchors,
    unsigned int n_anchors, const unsigned int *__restrict__ first_pairs,
    const unsigned int *__restrict__ places, const double *__restrict__ d_aps, double margin,
    double allowance, unsigned int semi_hard, unsigned int slice,
    const unsigned int *__restrict__ slices, unsigned int *__restrict__ ranks,
    unsigned int *__restrict__ picks) {
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
            if (slices[p] != blockIdx.x || ranks[p] == NONE) continue;
            const unsigned int anchor = anchors[places[p]];
            const Pair pair = pair_of(rule, anchor, d_aps[p], slacks[anchor]);
            const float *distances = shared.distances[places[p] - first_anchor];
            const unsigned int rank = ranks[p];
            const unsigned int count = count_row(rows, rule, pair, distances, first_row);
            if (rank < count) {
                picks[p] = nth_in_row(rows, rule, pair, distances, first_row, rank);
            }
            ranks[p] = rank < count ? NONE : rank - count;
        }
    }
}
