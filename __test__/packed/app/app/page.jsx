export default function Page() {
  return <h1>The page</h1>
}
