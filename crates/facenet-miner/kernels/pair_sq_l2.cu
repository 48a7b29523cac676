// d_aps[p] = f64 distance of anchors[places[p]] to positives[p], as exact_sq_l2 of tile.cuh has it
// values [n, dim] row-major, anchors [n_anchors], places [n_pairs], positives [n_pairs],
// d_aps [n_pairs]. Grid (ceil(n_pairs/THREADS), 1), block (THREADS_X, THREADS_Y), a thread a pair.
// k ascends, in one thread: the same input gives the same bits on every run.
extern "C" __global__ void __launch_bounds__(THREADS) pair_sq_l2(
    const float *__restrict__ values, unsigned int n, unsigned int dim,
    const unsigned int *__restrict__ anchors, const unsigned int *__restrict__ places,
    const unsigned int *__restrict__ positives, unsigned int n_pairs,
    double *__restrict__ d_aps) {
    const Rows rows = {values, nullptr, n, dim, 0};
    const unsigned int pair = blockIdx.x * THREADS + thread_index();
    if (pair >= n_pairs) return;
    d_aps[pair] = exact_sq_l2(rows, anchors[places[pair]], positives[pair]);
}
