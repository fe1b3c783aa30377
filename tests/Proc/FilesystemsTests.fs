module Agent.Tests.Proc.FilesystemsTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Tests.Fixtures
open Expecto

let private parse (text: byte[]) =
    Filesystems.parse (ReadOnlySpan text) |> Parsed.strict

let private mountsOf (machine: string) =
    want (
        Mounts.parse (ReadOnlySpan(bytes $"{machine}/proc/self/mounts"))
        |> Parsed.strict
    )

let private typesOf (machine: string) =
    want (parse (bytes $"{machine}/proc/filesystems"))

[<Tests>]
let tests =
    testList
        "Proc.Filesystems"
        [
            testCase "the captured text has eight types that need a device"
            <| fun () ->
                Expect.equal
                    (typesOf "vm-2core-6.18/first" |> Seq.sort |> List.ofSeq)
                    [ "btrfs"; "erofs"; "ext2"; "ext3"; "ext4"; "fuseblk"; "squashfs"; "xfs" ]
                    "types"

            testCase "of the captured mounts only the root occupies a disk"
            <| fun () ->
                let onDisk = Filesystems.onDisk (typesOf "vm-2core-6.18/first") (mountsOf "vm-2core-6.18/first")
                Expect.equal (onDisk |> Array.map (fun mount -> mount.MountPoint)) [| "/" |] "directories"

            testCase "zfs brings its own device although it is marked nodev; cifs and tmpfs occupy no disk"
            <| fun () ->
                let onDisk = Filesystems.onDisk (typesOf "odd-names") (mountsOf "odd-names")

                Expect.equal
                    (onDisk |> Array.map (fun mount -> mount.MountPoint))
                    [|
                        "/"
                        "/mnt/my disk\ttab"
                        "/home"
                        "/mnt/grün"
                        "/mnt/trailing\\"
                        "/mnt/line\nbreak"
                    |]
                    "directories"

            testCase "a directory that was mounted over counts once, with what is visible"
            <| fun () ->
                let mounts =
                    want (
                        Mounts.parse (ReadOnlySpan "/dev/a /mnt ext4 rw 0 0\n/dev/b /mnt xfs rw 0 0\n"B)
                        |> Parsed.strict
                    )

                let onDisk = Filesystems.onDisk (typesOf "odd-names") mounts
                Expect.equal (onDisk |> Array.map (fun mount -> mount.Device)) [| "/dev/b" |] "the later one"

            testCase "a disk that was mounted over by a tmpfs is not visible"
            <| fun () ->
                let mounts =
                    want (
                        Mounts.parse (ReadOnlySpan "/dev/a /mnt ext4 rw 0 0\ntmpfs /mnt tmpfs rw 0 0\n"B)
                        |> Parsed.strict
                    )

                Expect.equal (Filesystems.onDisk (typesOf "odd-names") mounts) [||] "none"

            testCase "blank lines are ignored"
            <| fun () -> Expect.equal (want (parse "\n\text4\n\n"B) |> List.ofSeq) [ "ext4" ] "types"

            testCase "nodev without a type is an error"
            <| fun () -> Expect.equal (located (parse "\text4\nnodev\n"B)) ("/proc/filesystems", 2, "type", "") "place"

            testCase "a torn last line is an error"
            <| fun () -> Expect.equal (located (parse "\text4\n\tbtr"B)) ("/proc/filesystems", 2, "the last line", "\\x09btr") "place"

            testCase "an empty text has no types"
            <| fun () -> Expect.equal (want (parse [||])).Count 0 "none"
        ]
