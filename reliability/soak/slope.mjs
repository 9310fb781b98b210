/** Least squares: how much `y` gains per unit of `x`, over points `[x, y]`. */
export function slope(points) {
  const mean = (at) => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  let products = 0
  let squares = 0
  for (const point of points) {
    products += (point[0] - x) * (point[1] - y)
    squares += (point[0] - x) ** 2
  }
  return products / squares
}
