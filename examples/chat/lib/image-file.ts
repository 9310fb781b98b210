import type { Image } from '@/shared/events'
import settings from '@/shared/settings.json'

const { imageTypes, limits } = settings

export class UnusableImage extends Error {}

/** Reads a chosen file, or throws an error that tells the user why it cannot be sent. */
export async function readImage(file: File): Promise<Image> {
  if (!imageTypes.includes(file.type)) {
    throw new UnusableImage(`“${file.name}” is not a PNG, JPEG, GIF, WebP or AVIF image.`)
  }
  if (file.size === 0) throw new UnusableImage(`“${file.name}” is empty.`)
  if (file.size > limits.imageBytes) {
    throw new UnusableImage(
      `“${file.name}” has ${formatBytes(file.size)}. An image may have up to ${formatBytes(limits.imageBytes)}.`,
    )
  }
  return {
    type: 'image',
    fileName: file.name.slice(-limits.fileNameLength),
    mediaType: file.type,
    data: await file.arrayBuffer(),
  }
}

export function formatBytes(bytes: number): string {
  const [amount, unit] = bytes < 1024 ** 2 ? [bytes / 1024, 'KB'] : [bytes / 1024 ** 2, 'MB']
  // Rounded up, because a file just above the limit would otherwise seem to be within it.
  return `${Math.ceil(amount * 10) / 10} ${unit}`
}
