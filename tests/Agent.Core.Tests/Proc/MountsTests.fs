module Agent.Core.Tests.Proc.MountsTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    Mounts.parse (ReadOnlySpan text) |> Parsed.strict

let private mount device mountPoint fsType : Mounts.Mount =
    {
        Device = device
        MountPoint = mountPoint
        Path = utf8 mountPoint
        FsType = fsType
        IsReadOnly = false
        Place = ValueNone
    }

[<Tests>]
let tests =
    testList
        "Proc.Mounts"
        [
            testCase "the captured text gives what df -a lists, in its order"
            <| fun () ->
                let mounts = want (parse (bytes "vm-2core-6.18/first/proc/self/mounts"))

                let said =
                    words "vm-2core-6.18/first/df-B1.txt"
                    |> Array.skip 1
                    |> Array.map (fun row -> mount row[0] row[6] row[1])

                Expect.equal (mounts |> Array.map (fun mount -> { mount with IsReadOnly = false })) said "device, directory, type"
                Expect.equal mounts[5] (mount "/dev/vda" "/" "ext4") "the root"

            testCase "three octal digits after a backslash are one byte"
            <| fun () ->
                let mounts = want (parse (bytes "odd-names/proc/self/mounts"))

                Expect.equal
                    mounts
                    [|
                        mount "/dev/sda1" "/" "ext4"
                        mount "/dev/sdb1" "/mnt/my disk\ttab" "xfs"
                        mount "//filer/share one" "/mnt/back\\slash" "cifs"
                        mount "tank/home" "/home" "zfs"
                        mount "/dev/sdc1" "/mnt/grün" "ext4"
                        mount "tmpfs" "/mnt/odd\\8x\\04" "tmpfs"
                        mount "/dev/sdd1" "/mnt/trailing\\" "ext4"
                        mount "/dev/sde1" "/mnt/line\nbreak" "ext4"
                    |]
                    "mounts"

            testCase "octal digits beyond a byte stay as they are"
            <| fun () -> Expect.equal (parse "a /b\\400 ext4 rw 0 0\n"B) (Ok [| mount "a" "/b\\400" "ext4" |]) "four hundred"

            testCase "a directory that is not UTF-8 is shown by its bytes, which are kept for system calls"
            <| fun () ->
                let path = latin1 "/men\u00fc/\u00fc b\u00ff"
                let line = latin1 "a /men\u00fc/\u00fc\\040b\u00ff ext4 rw 0 0\n"

                Expect.equal
                    (parse line)
                    (Ok
                        [|
                            { mount "a" @"/men\xfc/\xfc b\xff" "ext4" with
                                Path = path
                            }
                        |])
                    "directory"

            testCase "two directories whose names differ in a byte that is no UTF-8 stay two"
            <| fun () ->
                let read =
                    want (parse (latin1 "a /\u00e8 ext4 rw 0 0\nb /\u00e9 ext4 rw 0 0\nc /\u00c3\u00a9\u00e9 ext4 rw 0 0\n"))

                Expect.equal (read |> Array.map _.MountPoint) [| @"/\xe8"; @"/\xe9"; @"/é\xe9" |] "names"

            testCase "options and the two numbers are not read"
            <| fun () -> Expect.equal (parse "a /b ext4\n"B) (Ok [| mount "a" "/b" "ext4" |]) "three fields do"

            testCase "a line without a type is an error"
            <| fun () ->
                Expect.equal (located (parse "proc /proc proc rw 0 0\n/dev/sda1 /boot\n"B)) ("/proc/self/mounts", 2, "type", "") "place"

            testCase "a blank line is a located error"
            <| fun () -> Expect.equal (located (parse "a /b ext4 rw 0 0\n\n"B)) ("/proc/self/mounts", 2, "type", "") "place"

            testCase "a torn last line is an error"
            <| fun () ->
                Expect.equal (located (parse "a /b ext4 rw 0 0\nc /d ext"B)) ("/proc/self/mounts", 2, "the last line", "c /d ext") "place"

            testCase "an empty text has no mounts"
            <| fun () -> Expect.equal (parse [||]) (Ok [||]) "none"

            testCase "line ends of another system stay outside the three fields"
            <| fun () -> Expect.equal (parse "a /b ext4 rw 0 0\r\n"B) (Ok [| mount "a" "/b" "ext4" |]) "mount"

            testCase "a line without a type costs itself"
            <| fun () ->
                let read = want (Mounts.parse (ReadOnlySpan "/dev/sda1\na /b ext4 rw 0 0\nc /d xfs"B))
                Expect.equal read.Value [| mount "a" "/b" "ext4" |] "the other"

                Expect.equal
                    (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field))
                    [| 1, "type"; 3, "the last line" |]
                    "reported"

            testCase "the option ro stands first"
            <| fun () ->
                let mounts =
                    want (parse "a /a ext4 ro 0 0\nb /b ext4 ro,noatime 0 0\nc /c ext4 rw,errors=remount-ro 0 0\nd /d ext4 rok 0 0\n"B)

                Expect.equal (mounts |> Array.map _.IsReadOnly) [| true; true; false; false |] "read-only"
        ]
