// What CV-CUDA has no operator for: anything that reads or writes the two-channel chroma plane of NV12, and the chains
// of small steps that would each cost a launch. Pictures are uint8; `step` is the distance between pictures in bytes.
// A thread makes one cell of the output; x is the column, y the row, z the picture.

typedef unsigned char u8;
typedef long long i64;

struct Place { int x, y, n; };

__device__ inline Place place() {
    return {int(blockIdx.x * blockDim.x + threadIdx.x), int(blockIdx.y * blockDim.y + threadIdx.y), int(blockIdx.z)};
}

__device__ inline u8 to_u8(float value) { return u8(fminf(fmaxf(rintf(value), 0.0f), 255.0f)); }

__device__ inline unsigned short to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

template <int C> struct Texel { float of[C]; };

// Linear interpolation at a point given in pixels, where (0.5, 0.5) is the first pixel's centre.
template <int C> __device__ inline Texel<C> linear(const u8* plane, int rows, int columns, float y, float x) {
    y = fminf(fmaxf(y - 0.5f, 0.0f), rows - 1.0f);
    x = fminf(fmaxf(x - 0.5f, 0.0f), columns - 1.0f);
    int top = int(y), left = int(x);
    int bottom = min(top + 1, rows - 1), right = min(left + 1, columns - 1);
    float down = y - top, along = x - left;
    const u8* above = plane + i64(top) * columns * C;
    const u8* below = plane + i64(bottom) * columns * C;
    Texel<C> mean;
    for (int c = 0; c < C; ++c) {
        float first = above[left * C + c] + along * (float(above[right * C + c]) - above[left * C + c]);
        float second = below[left * C + c] + along * (float(below[right * C + c]) - below[left * C + c]);
        mean.of[c] = first + down * (second - first);
    }
    return mean;
}

// Mean over a rectangle whose sides may cut pixels; where it is smaller than a pixel, linear interpolation at its centre.
template <int C>
__device__ inline Texel<C> box_mean(const u8* plane, int rows, int columns, float top, float bottom, float left, float right) {
    if (bottom - top < 1.0f || right - left < 1.0f)
        return linear<C>(plane, rows, columns, 0.5f * (top + bottom), 0.5f * (left + right));
    Texel<C> sum = {};
    int last_row = min(int(ceilf(bottom - 1e-4f)), rows), last_column = min(int(ceilf(right - 1e-4f)), columns);
    for (int row = int(top); row < last_row; ++row) {
        float height = fminf(row + 1.0f, bottom) - fmaxf(float(row), top);
        const u8* pixels = plane + i64(row) * columns * C;
        for (int column = int(left); column < last_column; ++column) {
            float weight = height * (fminf(column + 1.0f, right) - fmaxf(float(column), left));
            for (int c = 0; c < C; ++c) sum.of[c] += weight * pixels[column * C + c];
        }
    }
    float area = 1.0f / ((bottom - top) * (right - left));
    for (int c = 0; c < C; ++c) sum.of[c] *= area;
    return sum;
}

struct Nv12 {
    const u8 *luma, *chroma;
    i64 luma_step, chroma_step;
    int rows, columns;
    // The mean YUV of what cell (y, x) of a grid over the whole picture covers.
    __device__ Texel<3> cell(int n, int y, int x, int grid_rows, int grid_columns) const {
        float high = float(rows) / grid_rows, wide = float(columns) / grid_columns;
        float top = y * high, left = x * wide;
        Texel<1> bright = box_mean<1>(luma + n * luma_step, rows, columns, top, top + high, left, left + wide);
        Texel<2> color = box_mean<2>(chroma + n * chroma_step, rows / 2, columns / 2, 0.5f * top, 0.5f * (top + high),
                                     0.5f * left, 0.5f * (left + wide));
        return {bright.of[0], color.of[0], color.of[1]};
    }
};

struct Rgb {
    const u8* pixels;
    i64 step;
    int rows, columns;
    __device__ Texel<3> cell(int n, int y, int x, int grid_rows, int grid_columns) const {
        float high = float(rows) / grid_rows, wide = float(columns) / grid_columns;
        return box_mean<3>(pixels + n * step, rows, columns, y * high, y * high + high, x * wide, x * wide + wide);
    }
};

__device__ inline Texel<3> transform(const float* affine, Texel<3> color) {
    Texel<3> result;
    for (int row = 0; row < 3; ++row) {
        const float* weights = affine + 4 * row;
        float value = weights[0] * color.of[0] + weights[1] * color.of[1] + weights[2] * color.of[2] + weights[3];
        result.of[row] = fminf(fmaxf(value, 0.0f), 255.0f);
    }
    return result;
}

// What makes the shown picture of the stored one: a transposition, then flips, each if it is not 0.
struct Turn {
    int transposes, flips_rows, flips_columns;
    // The mean of what cell (y, x) of a grid over the shown picture covers.
    template <class Source>
    __device__ Texel<3> cell(Source stored, int n, int y, int x, int rows, int columns) const {
        if (flips_rows) y = rows - 1 - y;
        if (flips_columns) x = columns - 1 - x;
        return transposes ? stored.cell(n, x, y, columns, rows) : stored.cell(n, y, x, rows, columns);
    }
};

// Where the picture lies in the network's input: all of it, or a part that keeps its aspect.
struct Part { int top, left, rows, columns; };

// What the network sees: half or float [n, rows, columns, 3], normalised, with zeros around the picture; and the grey
// guide of the mask's edges, uint8. `affine` [3, 4] makes RGB 0..255 of the picture's code values; `normal` [2, 3] holds
// factors and offsets to add.
template <class Source>
__device__ inline void write_input(Source source, const float* affine, const float* normal, void* input, int is_float,
                                   u8* guide, int rows, int columns, Turn turn, Part part) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    i64 pixel = (i64(at.n) * rows + at.y) * columns + at.x;
    int y = at.y - part.top, x = at.x - part.left;
    bool is_inside = y >= 0 && y < part.rows && x >= 0 && x < part.columns;
    Texel<3> rgb = {}, seen = {};
    if (is_inside) {
        rgb = transform(affine, turn.cell(source, at.n, y, x, part.rows, part.columns));
        for (int c = 0; c < 3; ++c) seen.of[c] = rgb.of[c] * normal[c] + normal[3 + c];
    }
    for (int c = 0; c < 3; ++c) {
        if (is_float) static_cast<float*>(input)[3 * pixel + c] = seen.of[c];
        else static_cast<unsigned short*>(input)[3 * pixel + c] = to_half(seen.of[c]);
    }
    guide[pixel] = to_u8(0.299f * rgb.of[0] + 0.587f * rgb.of[1] + 0.114f * rgb.of[2]);
}

extern "C" __global__ void nv12_to_input(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step, int height, int width,
                                         const float* affine, const float* normal, void* input, int is_float, u8* guide,
                                         int rows, int columns, int transposes, int flips_rows, int flips_columns, int top,
                                         int left, int part_rows, int part_columns) {
    write_input(Nv12{luma, chroma, luma_step, chroma_step, height, width}, affine, normal, input, is_float, guide, rows,
                columns, Turn{transposes, flips_rows, flips_columns}, Part{top, left, part_rows, part_columns});
}

extern "C" __global__ void rgb_to_input(const u8* pixels, i64 step, int height, int width, const float* affine,
                                        const float* normal, void* input, int is_float, u8* guide, int rows, int columns,
                                        int transposes, int flips_rows, int flips_columns, int top, int left, int part_rows,
                                        int part_columns) {
    write_input(Rgb{pixels, step, height, width}, affine, normal, input, is_float, guide, rows, columns,
                Turn{transposes, flips_rows, flips_columns}, Part{top, left, part_rows, part_columns});
}

// The subject on the effect's grid: the mask [n, mask_rows, mask_columns] enlarged, then a ramp between two thresholds.
extern "C" __global__ void mask_to_subject(const u8* mask, int mask_rows, int mask_columns, float slope, float offset, u8* subject,
                                           int rows, int columns) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    float y = (at.y + 0.5f) * mask_rows / rows, x = (at.x + 0.5f) * mask_columns / columns;
    float level = linear<1>(mask + i64(at.n) * mask_rows * mask_columns, mask_rows, mask_columns, y, x).of[0];
    subject[(i64(at.n) * rows + at.y) * columns + at.x] = to_u8(rintf(level) * slope + offset);
}

// The background's weight in a cell of the blur's grid: the least of its neighbourhood, because a cell on the outline
// already holds the subject's colours; plus 1, so that deep inside the subject its own colour shows.
__device__ inline float background_weight(const u8* subject, int subject_rows, int subject_columns, int y, int x, int rows,
                                          int columns) {
    float high = float(subject_rows) / rows, wide = float(subject_columns) / columns;
    float least = 255.0f;
    for (int row = max(y - 1, 0); row <= min(y + 1, rows - 1); ++row)
        for (int column = max(x - 1, 0); column <= min(x + 1, columns - 1); ++column)
            least = fminf(least, 255.0f - box_mean<1>(subject, subject_rows, subject_columns, row * high, (row + 1) * high,
                                                      column * wide, (column + 1) * wide).of[0]);
    return rintf(least) + 1.0f;
}

// The picture's colours weighted by background, float4 [n, rows, columns]: (weight * colour, weight).
template <class Source>
__device__ inline void write_weighted(Source source, const u8* subject, int subject_rows, int subject_columns, float4* weighted,
                                      int rows, int columns) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    const u8* of_picture = subject + i64(at.n) * subject_rows * subject_columns;
    float weight = background_weight(of_picture, subject_rows, subject_columns, at.y, at.x, rows, columns);
    Texel<3> color = source.cell(at.n, at.y, at.x, rows, columns);
    weighted[(i64(at.n) * rows + at.y) * columns + at.x] =
        make_float4(weight * color.of[0], weight * color.of[1], weight * color.of[2], weight);
}

extern "C" __global__ void nv12_to_weighted(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step, int height,
                                            int width, const u8* subject, int subject_rows, int subject_columns,
                                            float4* weighted, int rows, int columns) {
    write_weighted(Nv12{luma, chroma, luma_step, chroma_step, height, width}, subject, subject_rows, subject_columns, weighted,
                   rows, columns);
}

extern "C" __global__ void rgb_to_weighted(const u8* pixels, i64 step, int height, int width, const u8* subject,
                                           int subject_rows, int subject_columns, float4* weighted, int rows, int columns) {
    write_weighted(Rgb{pixels, step, height, width}, subject, subject_rows, subject_columns, weighted, rows, columns);
}

// Weights of cubic interpolation with a = -0.75, as OpenCV has it (Keys, 1981).
__device__ inline void cubic_weights(float along, float* weights) {
    const float a = -0.75f;
    float t = along + 1.0f;
    weights[0] = ((a * t - 5.0f * a) * t + 8.0f * a) * t - 4.0f * a;
    weights[1] = ((a + 2.0f) * along - (a + 3.0f)) * along * along + 1.0f;
    t = 1.0f - along;
    weights[2] = ((a + 2.0f) * t - (a + 3.0f)) * t * t + 1.0f;
    weights[3] = 1.0f - weights[0] - weights[1] - weights[2];
}

// The layers of a blur, uchar4 [n, rows, columns]: (kept, added colours). `blurred` is float4 of the blur's grid; its
// colours are divided by its weight, which is what leaves the subject out of the background around it.
extern "C" __global__ void blur_layers(const float4* blurred, int blur_rows, int blur_columns, const u8* subject, uchar4* layers,
                                       int rows, int columns) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    float y = (at.y + 0.5f) * blur_rows / rows - 0.5f, x = (at.x + 0.5f) * blur_columns / columns - 0.5f;
    int top = int(floorf(y)), left = int(floorf(x));
    float down[4], along[4], color[3] = {};
    cubic_weights(y - top, down);
    cubic_weights(x - left, along);
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            int row = min(max(top - 1 + i, 0), blur_rows - 1), column = min(max(left - 1 + j, 0), blur_columns - 1);
            float4 cell = blurred[(i64(at.n) * blur_rows + row) * blur_columns + column];
            float weight = down[i] * along[j] / cell.w;
            color[0] += weight * cell.x;
            color[1] += weight * cell.y;
            color[2] += weight * cell.z;
        }
    i64 place_in_grid = (i64(at.n) * rows + at.y) * columns + at.x;
    u8 kept = subject[place_in_grid];
    float opacity = (255 - kept) / 255.0f;
    for (int c = 0; c < 3; ++c) color[c] = opacity * fminf(fmaxf(color[c], 0.0f), 255.0f);
    layers[place_in_grid] = make_uchar4(kept, to_u8(color[0]), to_u8(color[1]), to_u8(color[2]));
}

// The picture's colours along soft edges, for what surely is foreground and what surely is background: float4
// [n, rows, columns] each, (weight * colour, weight). `weights` [256] says how much a cell counts as foreground by the level
// of its subject; backwards, as background.
template <class Source>
__device__ inline void write_edge_colors(Source source, const u8* subject, int subject_rows, int subject_columns,
                                         const float* weights, float4* foreground, float4* background, int rows, int columns) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    float high = float(subject_rows) / rows, wide = float(subject_columns) / columns;
    int level = to_u8(box_mean<1>(subject + i64(at.n) * subject_rows * subject_columns, subject_rows, subject_columns,
                                  at.y * high, (at.y + 1) * high, at.x * wide, (at.x + 1) * wide).of[0]);
    Texel<3> color = source.cell(at.n, at.y, at.x, rows, columns);
    i64 cell = (i64(at.n) * rows + at.y) * columns + at.x;
    float inside = weights[level], outside = weights[255 - level];
    foreground[cell] = make_float4(inside * color.of[0], inside * color.of[1], inside * color.of[2], inside);
    background[cell] = make_float4(outside * color.of[0], outside * color.of[1], outside * color.of[2], outside);
}

extern "C" __global__ void nv12_to_edge_colors(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step, int height,
                                               int width, const u8* subject, int subject_rows, int subject_columns,
                                               const float* weights, float4* foreground, float4* background, int rows,
                                               int columns) {
    write_edge_colors(Nv12{luma, chroma, luma_step, chroma_step, height, width}, subject, subject_rows, subject_columns, weights,
                      foreground, background, rows, columns);
}

extern "C" __global__ void rgb_to_edge_colors(const u8* pixels, i64 step, int height, int width, const u8* subject,
                                              int subject_rows, int subject_columns, const float* weights, float4* foreground,
                                              float4* background, int rows, int columns) {
    write_edge_colors(Rgb{pixels, step, height, width}, subject, subject_rows, subject_columns, weights, foreground, background,
                      rows, columns);
}

// Blurred weighted colours, divided by their weight and enlarged to cell (y, x) of the effect's grid.
__device__ inline Texel<3> edge_color(const float4* blurred, int edge_rows, int edge_columns, int y, int x, int rows, int columns) {
    float down = fminf(fmaxf((y + 0.5f) * edge_rows / rows - 0.5f, 0.0f), edge_rows - 1.0f);
    float along = fminf(fmaxf((x + 0.5f) * edge_columns / columns - 0.5f, 0.0f), edge_columns - 1.0f);
    int top = int(down), left = int(along);
    Texel<3> mean = {};
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            float4 cell = blurred[i64(min(top + i, edge_rows - 1)) * edge_columns + min(left + j, edge_columns - 1)];
            float weight = (i ? down - top : 1.0f - (down - top)) * (j ? along - left : 1.0f - (along - left)) / cell.w;
            mean.of[0] += weight * cell.x;
            mean.of[1] += weight * cell.y;
            mean.of[2] += weight * cell.z;
        }
    return mean;
}

// The layers before a new background, uint8 [n, rows, columns, 8]: kept, shown of the picture behind, removed colours, added
// colours, as `vision/edge_colors.py` says. With `has_color`, `color` [3] is behind instead of a picture.
extern "C" __global__ void edge_layers(const float4* foreground, const float4* background, int edge_rows, int edge_columns,
                                       const u8* subject, const float* color, int has_color, u8* layers, int rows, int columns) {
    Place at = place();
    if (at.x >= columns || at.y >= rows) return;
    i64 place_in_grid = (i64(at.n) * rows + at.y) * columns + at.x, of_picture = i64(at.n) * edge_rows * edge_columns;
    Texel<3> inside = edge_color(foreground + of_picture, edge_rows, edge_columns, at.y, at.x, rows, columns);
    Texel<3> outside = edge_color(background + of_picture, edge_rows, edge_columns, at.y, at.x, rows, columns);
    u8 level = subject[place_in_grid];
    float share = level / 255.0f;
    u8* cell = layers + 8 * place_in_grid;
    cell[0] = to_u8(255.0f * share * share);
    cell[1] = has_color ? 0 : 255 - level;
    for (int c = 0; c < 3; ++c) {
        cell[2 + c] = to_u8(share * share * (1.0f - share) * outside.of[c]);
        float behind = has_color ? (1.0f - share) * color[c] : 0.0f;
        cell[5 + c] = to_u8(share * (1.0f - share * share) * inside.of[c] + behind);
    }
}

template <int C> struct Layers {
    const u8* cells;  // [n, rows, columns, C]
    int rows, columns;
    __device__ Texel<C> at(int n, float y, float x) const {
        return linear<C>(cells + i64(n) * rows * columns * C, rows, columns, y * rows, x * columns);
    }
};

__device__ inline u8 blended(u8 source, float kept, float added) { return to_u8(source * kept * (1.0f / 255.0f) + added); }

// out = source * kept / 255 + added, with both layers enlarged. A thread draws 2 x 2 of luma and the chroma they share.
extern "C" __global__ void blend_nv12(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step, const u8* cells,
                                      int grid_rows, int grid_columns, u8* out_luma, i64 out_luma_step, u8* out_chroma,
                                      i64 out_chroma_step, int height, int width) {
    Place at = place();
    if (2 * at.x >= width || 2 * at.y >= height) return;
    Layers<4> layers = {cells, grid_rows, grid_columns};  // kept, added colours
    for (int dy = 0; dy < 2; ++dy) {
        i64 row = i64(2 * at.y + dy) * width + 2 * at.x;
        uchar2 source = *reinterpret_cast<const uchar2*>(luma + at.n * luma_step + row);
        float y = (2 * at.y + dy + 0.5f) / height;
        Texel<4> first = layers.at(at.n, y, (2 * at.x + 0.5f) / width);
        Texel<4> second = layers.at(at.n, y, (2 * at.x + 1.5f) / width);
        *reinterpret_cast<uchar2*>(out_luma + at.n * out_luma_step + row) =
            make_uchar2(blended(source.x, first.of[0], first.of[1]), blended(source.y, second.of[0], second.of[1]));
    }
    Texel<4> shared = layers.at(at.n, (2 * at.y + 1.0f) / height, (2 * at.x + 1.0f) / width);
    i64 pair = i64(at.y) * width + 2 * at.x;
    uchar2 source = *reinterpret_cast<const uchar2*>(chroma + at.n * chroma_step + pair);
    *reinterpret_cast<uchar2*>(out_chroma + at.n * out_chroma_step + pair) =
        make_uchar2(blended(source.x, shared.of[0], shared.of[2]), blended(source.y, shared.of[0], shared.of[3]));
}

extern "C" __global__ void blend_rgb(const u8* pixels, i64 step, const u8* cells, int grid_rows, int grid_columns, u8* out,
                                     i64 out_step, int height, int width) {
    Place at = place();
    if (at.x >= width || at.y >= height) return;
    Texel<4> layer = Layers<4>{cells, grid_rows, grid_columns}.at(at.n, (at.y + 0.5f) / height, (at.x + 0.5f) / width);
    i64 pixel = (i64(at.y) * width + at.x) * 3;
    for (int c = 0; c < 3; ++c)
        out[at.n * out_step + pixel + c] = blended(pixels[at.n * step + pixel + c], layer.of[0], layer.of[1 + c]);
}

// One sample before a new background: source * kept - removed + added + behind * shown. What is removed is removed first, or a
// bright sum would be cut off before it.
__device__ inline u8 replaced(u8 source, u8 behind, Texel<8> layer, int channel) {
    float left = fmaxf(source * layer.of[0] * (1.0f / 255.0f) - layer.of[2 + channel], 0.0f);
    return to_u8(left + layer.of[5 + channel] + behind * layer.of[1] * (1.0f / 255.0f));
}

// As blend_nv12, with the picture behind and layers of eight.
extern "C" __global__ void replace_nv12(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step, const u8* behind_luma,
                                        i64 behind_luma_step, const u8* behind_chroma, i64 behind_chroma_step, const u8* cells,
                                        int grid_rows, int grid_columns, u8* out_luma, i64 out_luma_step, u8* out_chroma,
                                        i64 out_chroma_step, int height, int width) {
    Place at = place();
    if (2 * at.x >= width || 2 * at.y >= height) return;
    Layers<8> layers = {cells, grid_rows, grid_columns};
    for (int dy = 0; dy < 2; ++dy) {
        i64 row = i64(2 * at.y + dy) * width + 2 * at.x;
        uchar2 source = *reinterpret_cast<const uchar2*>(luma + at.n * luma_step + row);
        uchar2 behind = *reinterpret_cast<const uchar2*>(behind_luma + at.n * behind_luma_step + row);
        float y = (2 * at.y + dy + 0.5f) / height;
        Texel<8> first = layers.at(at.n, y, (2 * at.x + 0.5f) / width);
        Texel<8> second = layers.at(at.n, y, (2 * at.x + 1.5f) / width);
        *reinterpret_cast<uchar2*>(out_luma + at.n * out_luma_step + row) =
            make_uchar2(replaced(source.x, behind.x, first, 0), replaced(source.y, behind.y, second, 0));
    }
    Texel<8> shared = layers.at(at.n, (2 * at.y + 1.0f) / height, (2 * at.x + 1.0f) / width);
    i64 pair = i64(at.y) * width + 2 * at.x;
    uchar2 source = *reinterpret_cast<const uchar2*>(chroma + at.n * chroma_step + pair);
    uchar2 behind = *reinterpret_cast<const uchar2*>(behind_chroma + at.n * behind_chroma_step + pair);
    *reinterpret_cast<uchar2*>(out_chroma + at.n * out_chroma_step + pair) =
        make_uchar2(replaced(source.x, behind.x, shared, 1), replaced(source.y, behind.y, shared, 2));
}

extern "C" __global__ void replace_rgb(const u8* pixels, i64 step, const u8* behind, i64 behind_step, const u8* cells,
                                       int grid_rows, int grid_columns, u8* out, i64 out_step, int height, int width) {
    Place at = place();
    if (at.x >= width || at.y >= height) return;
    Texel<8> layer = Layers<8>{cells, grid_rows, grid_columns}.at(at.n, (at.y + 0.5f) / height, (at.x + 0.5f) / width);
    i64 pixel = (i64(at.y) * width + at.x) * 3;
    for (int c = 0; c < 3; ++c)
        out[at.n * out_step + pixel + c] =
            replaced(pixels[at.n * step + pixel + c], behind[at.n * behind_step + pixel + c], layer, c);
}

// What JPEG codes: the planes Y, Cb and Cr of a picture one after another, [n, 3 * height * width / 2]. `affine` [3, 4] makes
// JFIF's code values of the picture's. A thread makes 2 x 2 of luma and the chroma they share.
extern "C" __global__ void nv12_to_jpeg_planes(const u8* luma, i64 luma_step, const u8* chroma, i64 chroma_step,
                                               const float* affine, u8* out, int height, int width) {
    Place at = place();
    if (2 * at.x >= width || 2 * at.y >= height) return;
    i64 area = i64(height) * width;
    u8* out_luma = out + at.n * (area + area / 2);
    u8* out_cb = out_luma + area;
    u8* out_cr = out_cb + area / 4;
    uchar2 color = *reinterpret_cast<const uchar2*>(chroma + at.n * chroma_step + i64(at.y) * width + 2 * at.x);
    float cb = color.x, cr = color.y, sum = 0.0f;
    for (int dy = 0; dy < 2; ++dy) {
        i64 row = i64(2 * at.y + dy) * width + 2 * at.x;
        uchar2 bright = *reinterpret_cast<const uchar2*>(luma + at.n * luma_step + row);
        sum += float(bright.x) + float(bright.y);
        *reinterpret_cast<uchar2*>(out_luma + row) =
            make_uchar2(to_u8(transform(affine, {float(bright.x), cb, cr}).of[0]),
                        to_u8(transform(affine, {float(bright.y), cb, cr}).of[0]));
    }
    Texel<3> shared = transform(affine, {0.25f * sum, cb, cr});
    i64 pair = i64(at.y) * (width / 2) + at.x;
    out_cb[pair] = to_u8(shared.of[1]);
    out_cr[pair] = to_u8(shared.of[2]);
}
