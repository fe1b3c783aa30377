module Agent.Core.Tests.Proc.FilesystemsTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
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

let private mountsIn (text: string) =
    want (Mounts.parse (ReadOnlySpan(utf8 text)) |> Parsed.strict)

let private commonTypes =
    System.Collections.Generic.HashSet<string>(
        [
            "ext4"
            "xfs"
            "btrfs"
            "fuseblk"
            "udf"
            "squashfs"
            "iso9660"
            "erofs"
            "cramfs"
            "romfs"
        ]
    )

let private onDiskOf (text: string) =
    Filesystems.onDisk commonTypes (mountsIn text)

/// Device and directory of what occupies a disk, from a text of /proc/self/mountinfo.
let private placedOnDisk (text: string) =
    want (MountInfo.parse (ReadOnlySpan(utf8 text)) |> Parsed.strict)
    |> Filesystems.onDisk commonTypes
    |> Array.map (fun mount -> mount.Device, mount.MountPoint)

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

            testCase "flash of boards brings its own device too, though it is marked nodev"
            <| fun () ->
                let mounts =
                    want (
                        Mounts.parse (
                            ReadOnlySpan "ubi0:rootfs / ubifs rw 0 0\n/dev/mtdblock3 /data jffs2 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"B
                        )
                        |> Parsed.strict
                    )

                Expect.equal
                    (Filesystems.onDisk (typesOf "odd-names") mounts
                     |> Array.map _.MountPoint
                     |> Array.sort)
                    [| "/"; "/data" |]
                    "both"

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

            testCase "a file system that is mounted in several places counts once, by its shortest name"
            <| fun () ->
                let onDisk =
                    onDiskOf "/dev/a /srv/data ext4 rw 0 0\n/dev/a /data ext4 rw 0 0\n/dev/b /b ext4 rw 0 0\n/dev/a /mnt/x ext4 ro 0 0\n"

                Expect.equal
                    (onDisk |> Array.map (fun mount -> mount.Device, mount.MountPoint))
                    [| "/dev/a", "/data"; "/dev/b", "/b" |]
                    "two"

            testCase "the root directory names its file system before a shorter or whole one"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "1 0 0:30 /@ / rw - btrfs /dev/a rw\n2 1 0:30 / /top rw - btrfs /dev/a rw\n3 1 0:30 /@home /home rw - btrfs /dev/a rw\n")
                    [| "/dev/a", "/" |]
                    "one pool of btrfs"

            testCase "a bind mount of a part gives way to the mount of the whole, however long its name"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 /x /x rw - ext4 /dev/b rw\n3 1 8:2 / /mnt/storage rw - ext4 /dev/b rw\n")
                    [| "/dev/a", "/"; "/dev/b", "/mnt/storage" |]
                    "whole"

            testCase "one device under two names counts once by its number, two of one name twice"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n3 1 8:2 / /b rw - ext4 /dev/root rw\n")
                    [| "/dev/root", "/"; "/dev/root", "/b" |]
                    "by number"

            testCase "the files that a container runtime mounts count as one file system"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "1 0 0:50 / / rw - overlay overlay rw\n2 1 8:1 /c/1/resolv.conf /etc/resolv.conf rw - ext4 /dev/a rw\n3 1 8:1 /c/1/hosts /etc/hosts rw - ext4 /dev/a rw\n")
                    [| "/dev/a", "/etc/hosts" |]
                    "one"

            for fsType in [ "squashfs"; "iso9660"; "erofs"; "cramfs"; "romfs" ] do
                testCase $"an image of {fsType} is no partition"
                <| fun () -> Expect.equal (onDiskOf $"/dev/loop3 /snap/core/1 {fsType} ro 0 0\n") [||] "none"

            testCase "a disc of udf counts while it can be written to"
            <| fun () ->
                let onDisk = onDiskOf "/dev/sr0 /a udf ro,nosuid 0 0\n/dev/sr1 /b udf rw 0 0\n"
                Expect.equal (onDisk |> Array.map _.MountPoint) [| "/b" |] "rw"

            testCase "datasets of ZFS are file systems of their own, their snapshots are not"
            <| fun () ->
                let onDisk =
                    onDiskOf "tank /tank zfs rw 0 0\ntank/home /home zfs rw 0 0\ntank/home@mon /home/.zfs/snapshot/mon zfs ro 0 0\n"

                Expect.equal (onDisk |> Array.map _.Device) [| "tank"; "tank/home" |] "datasets"

            testCase "a subtype behind the type changes nothing"
            <| fun () ->
                let onDisk = onDiskOf "/dev/a /a fuseblk.ntfs rw 0 0\nx /b fuse.other rw 0 0\n"
                Expect.equal (onDisk |> Array.map _.MountPoint) [| "/a" |] "fuseblk"

            testCase "what lies below a directory that was mounted over cannot be seen"
            <| fun () ->
                let onDisk =
                    onDiskOf
                        "/dev/a /data/a ext4 rw 0 0\n/dev/b /data ext4 rw 0 0\n/dev/c /data/c ext4 rw 0 0\n/dev/d /database ext4 rw 0 0\n"

                Expect.equal (onDisk |> Array.map _.Device) [| "/dev/b"; "/dev/c"; "/dev/d" |] "without /dev/a"

            testCase "a root that was mounted after the others hides none of them"
            <| fun () ->
                let onDisk = onDiskOf "/dev/b /boot ext4 rw 0 0\n/dev/a / ext4 rw 0 0\n"
                Expect.equal (onDisk |> Array.map _.MountPoint) [| "/boot"; "/" |] "both"

            testCase "by their places: covered in place, below a covered directory, and the one on top"
            <| fun () ->
                let mounts =
                    "1 0 8:1 / / rw - ext4 /dev/root rw\n"
                    // Covered where it is.
                    + "2 1 8:2 / /mnt rw - ext4 /dev/under rw\n"
                    + "3 2 8:3 / /mnt rw - ext4 /dev/over rw\n"
                    // On the covered one.
                    + "4 2 8:4 / /mnt/deep rw - ext4 /dev/deep rw\n"
                    // On the one on top.
                    + "5 3 8:5 / /mnt/deep rw - ext4 /dev/seen rw\n"
                    // Below a directory that was mounted over, and a mount on that.
                    + "6 1 8:6 / /data/a rw - ext4 /dev/lost rw\n"
                    + "7 6 8:7 / /data/a/b rw - ext4 /dev/lost-too rw\n"
                    + "8 1 8:8 / /data rw - ext4 /dev/data rw\n"

                Expect.equal (placedOnDisk mounts |> Array.map fst) [| "/dev/root"; "/dev/over"; "/dev/seen"; "/dev/data" |] "visible"

            testCase "mounts that name each other as parents end the search"
            <| fun () -> Expect.equal (placedOnDisk "1 2 8:1 / /a rw - ext4 /dev/a rw\n2 1 8:2 / /b rw - ext4 /dev/b rw\n").Length 2 "both"

            testCase "a root that is mounted on itself, as that of a machine which lives in its RAM disk, hides nothing"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "2 2 0:2 / / rw shared:1 - rootfs rootfs rw\n25 2 0:23 / /proc rw - proc proc rw\n31 2 259:1 / /scratch rw - xfs /dev/nvme0n1p1 rw\n32 31 259:2 / /scratch/tmp rw - ext4 /dev/nvme0n1p2 rw\n")
                    [| "/dev/nvme0n1p1", "/scratch"; "/dev/nvme0n1p2", "/scratch/tmp" |]
                    "both disks"

            testCase "what is mounted over a root that is mounted on itself hides it and what was on it"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "2 2 8:1 / / rw - ext4 /dev/first rw\n3 2 8:2 / /lost rw - ext4 /dev/lost rw\n4 2 8:3 / / rw - ext4 /dev/second rw\n5 4 8:4 / /seen rw - ext4 /dev/seen rw\n")
                    [| "/dev/second", "/"; "/dev/seen", "/seen" |]
                    "the second root"

            testCase "a circle of mounts on one directory hides none of them"
            <| fun () ->
                Expect.equal
                    (placedOnDisk
                        "7 9 8:1 / / rw - ext4 /dev/a rw\n8 7 8:2 / / rw - ext4 /dev/b rw\n9 8 8:3 / / rw - ext4 /dev/c rw\n10 8 8:4 / /d rw - ext4 /dev/d rw\n"
                     |> Array.map fst)
                    [| "/dev/a"; "/dev/b"; "/dev/c"; "/dev/d" |]
                    "all"

            testCase "network file systems are told by their type, each once"
            <| fun () ->
                let mounts =
                    mountsIn
                        "filer:/a /a nfs4 rw 0 0\nfiler:/a /b nfs4 rw 0 0\n//s/share /c cifs rw 0 0\nx@s:/ /d fuse.sshfs rw 0 0\ngvfsd /e fuse.gvfsd-fuse rw 0 0\n10.0.0.1@tcp:/l /f lustre rw 0 0\n/dev/a / ext4 rw 0 0\n"

                Expect.equal (Filesystems.overNetwork mounts |> Array.map _.MountPoint) [| "/a"; "/c"; "/d"; "/f" |] "four"

                let ofClusters =
                    mountsIn
                        "panfs://x/ /p panfs rw 0 0\nhf3fs.x /h fuse.hf3fs rw 0 0\ndfuse /o fuse.daos rw 0 0\nblobfuse2 /b fuse.blobfuse2 rw 0 0\n"

                Expect.equal (Filesystems.overNetwork ofClusters |> Array.map _.MountPoint) [| "/p"; "/h"; "/o"; "/b" |] "of clusters"

            testCase "blank lines are ignored"
            <| fun () -> Expect.equal (want (parse "\n\text4\n\n"B) |> List.ofSeq) [ "ext4" ] "types"

            testCase "nodev without a type is an error"
            <| fun () -> Expect.equal (located (parse "\text4\nnodev\n"B)) ("/proc/filesystems", 2, "type", "") "place"

            testCase "a torn last line is an error"
            <| fun () -> Expect.equal (located (parse "\text4\n\tbtr"B)) ("/proc/filesystems", 2, "the last line", "\\x09btr") "place"

            testCase "an empty text has no types"
            <| fun () -> Expect.equal (want (parse [||])).Count 0 "none"
        ]
