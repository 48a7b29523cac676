// out[i, j] = f32 distance of anchor anchors[i] to row j, as tile.cuh defines it
// values [n, dim], sq_norms [n], anchors [n_anchors], out [n_anchors, n], row-major.
// Grid (ceil(n/COLS), ceil(n_anchors/TILE)), block (THREADS_X, THREADS_Y).
// k ascends and nothing is atomic: the same input gives the same bits on every run.
extern "C" __global__ void __launch_bounds__(THREADS) pairwise_sq_l2(
    const float *__restrict__ values, const float *__restrict__ sq_norms, unsigned int n,
    unsigned int dim, unsigned int is_bounded, const unsigned int *__restrict__ anchors,
    unsigned int n_anchors, float *__restrict__ out) {
    __shared__ __align__(16) Shared shared;
    const Rows rows = {values, sq_norms, n, dim, is_bounded};
    const unsigned int first_anchor = blockIdx.y * TILE, first_row = blockIdx.x * COLS;
    float d[4][8];
    tile_distances(shared, rows, anchors, first_anchor, n_anchors, first_row, d);
    const bool wide = n % 4 == 0 && (size_t)out % 16 == 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned int place = first_anchor + 4 * threadIdx.y + i;
        if (place >= n_anchors) continue;
#pragma unroll
        for (int j = 0; j < 8; j += 4) {
            const unsigned int row = first_row + column(j);
            float *to = out + (size_t)place * n + row;
            if (wide) {
                if (row < n) {
                    *reinterpret_cast<float4 *>(to) =
                        make_float4(d[i][j], d[i][j + 1], d[i][j + 2], d[i][j + 3]);
                }
                continue;
            }
            for (int l = 0; l < 4; ++l) {
                if (row + l < n) to[l] = d[i][j + l];
            }
        }
    }
}
