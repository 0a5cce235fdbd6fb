/* SPDX-License-Identifier: MIT */
/* Made by make_known_hashes. */
#ifndef ROSTERD_TESTS_PASSWORD_KNOWN_HASHES_H
#define ROSTERD_TESTS_PASSWORD_KNOWN_HASHES_H

static const struct {
    const char *password, *hash;
} known_hashes[] = {
    {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
    {"U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
    {"U*U*", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
    {"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
    {"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
    {"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/"
                     "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
    {"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
    {"openwall", "$y$j9T$AAt9R641xPvCI9nXw1HHW/$cuQRBMN3N/f8IcmVN.4YrZ1bHMOiLOoz9/XQMKV/v0A"},
    {"pleaseletmein", "$y$j9T$e8R9q85ZuzUkArEUurdtS.$esON.7y6H.u3UCPVCpbRFueRpAut2n2cMf1EhpjbuiC"},
    {"hunter2", "$argon2id$v=19$m=19456,t=2,p=1$9S+9MrKzuG/"
                "4jvbEkGKChQ$xMIei85wOanGptO8sh1K1FN3SxuZETgyfFwE7QMQc9o"},
    {"hunter2", "$argon2i$v=19$m=1024,t=3,p=4$9S+9MrKzuG/"
                "4jvbEkGKChQ$FozzAs4NQ9KZ0CaRb35DWgyQwuFHdr5zNp66lqNs+ag"},
    {"hunter2", "$pbkdf2-sha256$1000$//vvIHNhbHQ$sXACFwr9SJVPD8/r8IzkEy.i.8yWoQRONCr2sgoFLq8"},
    {"hunter2", "$pbkdf2-sha512$1000$$DoznFBMo8.RoE1sJYZ/C/oL.mkJ0l0r4gi7sQ/"
                "eUwrQsq9wVqxsD9YDmdAVDutliO.cZ52QvkOedDCjAZLYOOA"},
    {"hunter2", "pbkdf2_sha256$1000$dJ4ngo$Py5+ZkfxNc5EylR8roYxuS352oZPUb66hCCT0qS11yc="},
    {"hunter2", "pbkdf2_sha512$1$x$CxGGfPr9e/nE5tfavbXHxaSoCe/fDYDVyw8JSZJ0q6iq+8w/"
                "7jAVAgyO4zVLXIEAvDRY01rdI5YEHVvGUS9IEQ=="},
    {"hunter2", "$6$saltstring$q2.778Y7vt0Ij2OIl01VlxEE6SEh8ZCtgFbyJX8fYkl5S7gx32QO24FVg."
                "rs4DkoAs9t6R19x4z8g69teXFxA0"},
    {"hunter2", "$6$rounds=1001$s$3lNH4U50NZw4hkGROBfCz6m."
                "0GzJyQ0L46zmlqMUNkER5Rm0bA8fgA6z9uajFzILqYv126h95YbVFZveadx4M/"},
    {"hunter2", "$5$rounds=1001$0123456789abcdef$aTkf250W9Vk/nFLw73jLhRIyTwc3CijvpNuJYhBn9y2"},
    {"", "$argon2id$v=19$m=19456,t=2,p=1$47DEQpj8HBSa+/"
         "TImW+5JA$FN+rVfEt7YwBQdsc+1IE48DEPzJqj6CrTDZABiwBYFM"},
    {"", "$argon2i$v=19$m=1024,t=3,p=4$47DEQpj8HBSa+/"
         "TImW+5JA$37VtFtXUiMANvgHg7KAUFvmUk+DLqrNj6XabsdShAHM"},
    {"", "$pbkdf2-sha256$1000$//vvIHNhbHQ$zqPnTqrS2CHjKYi6Sd80VGW6F8tHVRsgPANZab9H5gk"},
    {"", "$pbkdf2-sha512$1000$$y5MJbDoCvuscX6w2dlyQEf6Z.NjqYjZgSPyYy5jf6o9PjTBVpe."
         "bevKXc62CUpVUaTmdJdMKUzEoiShYH7huyw"},
    {"", "pbkdf2_sha256$1000$dJ4ngo$jDAAjjtLlQMYn07I2blNwHP96YwMM1azJy4UlopZnQ4="},
    {"", "pbkdf2_sha512$1$x$HuWrOUMGZG1n2uAfwODQkbWTGZxOAzmXUixA/BUXNfnu+kLAW7sgt/"
         "9sfwlDaIEX95Q3qwZqQU3LbfhXJve57A=="},
    {"", "$6$saltstring$"
         "kyGrqt6gmjAdtFLPrflEFifSYLCWWq1pyx95SvqinLDy2UHmj0sTF0MSLMwxPFZc3tu5kQckI8fks0zOPda3n1"},
    {"", "$6$rounds=1001$s$"
         "wEZqtOHid3bdTNfXWnr5gRfOM2hkAr98klP0UX7yE0jQLuTFJkwLELgidOKDVGkgQ9PFqnIBNT/w9NNdghaaN0"},
    {"", "$5$rounds=1001$0123456789abcdef$SrSA4I.Ws0B82NYxyK7yQajIEqUHUrxeAR5UELzVR15"},
    {"p\303\244ssw\303\266rd \342\230\203", "$argon2id$v=19$m=19456,t=2,p=1$fhK8X0dpIEmgEujRFCL6Og$"
                                            "OB9grcaqlXBEnr+DHXajLtIq9MPO6e8+OlgbASMBRhA"},
    {"p\303\244ssw\303\266rd \342\230\203", "$argon2i$v=19$m=1024,t=3,p=4$fhK8X0dpIEmgEujRFCL6Og$"
                                            "jHL8lXiSI5MvuqVR+MjD3o6T3MkArk91A9pT+dz2a88"},
    {"p\303\244ssw\303\266rd \342\230\203",
     "$pbkdf2-sha256$1000$//vvIHNhbHQ$bnWD3R0aXukM/A94Pj1QWyGs5Y.EyJpHEcqV/caVR6A"},
    {"p\303\244ssw\303\266rd \342\230\203",
     "$pbkdf2-sha512$1000$$TNKejyaPXxzw4Z28nyF9XALGx5ZvOkLftxXmXr9XJeLICCeV36F1cMqfNATcFo6rLGS/"
     "ak74dvI7ZJTZ/BHZew"},
    {"p\303\244ssw\303\266rd \342\230\203",
     "pbkdf2_sha256$1000$dJ4ngo$DovwZ2mVasnr2rNQsp3oR7CV4Kptt/7+r9/GTI73xAI="},
    {"p\303\244ssw\303\266rd \342\230\203",
     "pbkdf2_sha512$1$x$/Noc+xYGxdRuGZmXe3oRo2IQnRplKRPH574sCeIZbfRlyGVhUC+IS5RPbG/"
     "gO0sdCbdX2xfo0e3SlmwASUHYig=="},
    {"p\303\244ssw\303\266rd \342\230\203",
     "$6$saltstring$akEkcxMrzY8MBnoa6s6/FKKDaQyr1wQ/"
     "7Xk2hsalavbr0..TngX8cW0q8ZT.iyrXnrJgqUf8z7WUN0tRo.sOg/"},
    {"p\303\244ssw\303\266rd \342\230\203",
     "$6$rounds=1001$s$ZPyaxd2y9pkuO4y8K7ARptrRx3ZVvg.gKptkBXqxa0TRGtVRBz1poNE4PozW01pZNV236H1Em/"
     "0LaJ4WdVEG31"},
    {"p\303\244ssw\303\266rd \342\230\203",
     "$5$rounds=1001$0123456789abcdef$NI.c3WZNaAhWdea.1i0gSO01e9sldDO49pQSt0qEhT8"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$argon2id$v=19$m=19456,t=2,p=1$W9L9cBm+QBShNcvE/"
     "ErsyA$TaTCDvoqioTB2mcFdNEJ2+dl4BlBdcnelUMHX1YjtzE"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$argon2i$v=19$m=1024,t=3,p=4$W9L9cBm+QBShNcvE/ErsyA$QHV84gC+UJ3KjfHZCri2ydNfGwFBeen/hv8iGFq/"
     "QXs"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$pbkdf2-sha256$1000$//vvIHNhbHQ$Jqr8YSIgOciG2ujzrVxXTExshx.92LvMkfHRpY/SmqM"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$pbkdf2-sha512$1000$$LtgCp6JKDRnCkMGxt/4JrYzivG50qMWHWqsRZndoJbQ4A0S9nbb0grmhoH/"
     "03TYm0IlTFmxohXGEd2Sg/ESAKQ"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "pbkdf2_sha256$1000$dJ4ngo$LQb7vKZuiu5GIarCBMClDz7wTyrVkgM4/VKdX6TD5CE="},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "pbkdf2_sha512$1$x$PnsW16mHouaL4pZ4dLcz0Xv2UySXe7vPT7U4YiEfpA1878p/8NhfcggCYce/"
     "2muqVtCrl4yvtv0YUBAXVa+gLg=="},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$6$saltstring$4OhSjsl.mQ8SO.G9PqRL8ikUt/Mok/"
     "3L1eoLptHlGYfddu2IY.E33LOgv3u9i8coDCD7XE058KPAAKaGoKYjq/"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$6$rounds=1001$s$A8I15wrVkqqDooUj3f46i."
     "tRXiXQJUgYvMwR2mNUMiNou1vhw24YE4yvcSXmJKBoggrev6r0Puq8RLM.efPwD1"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "$5$rounds=1001$0123456789abcdef$MWE/WMY..ibUPDhJ2b6JEVFbMrvJPNqpe1HQuzv5Wt1"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$argon2id$v=19$m=19456,t=2,p=1$jKm/"
     "1D1hvwqyFPG3X7E3Rw$+vQMteQJ0EnCsqQG+clqR1NRrRBi34S46zlxSZg+A64"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$argon2i$v=19$m=1024,t=3,p=4$jKm/1D1hvwqyFPG3X7E3Rw$+toEg10GMBFEj0PONHiq/HoV59wu/"
     "NsDCPQ04LmYbjY"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$pbkdf2-sha256$1000$//vvIHNhbHQ$1jNy6m9c.u62muHbzKKDtJcoD8LWcLyXFnWr8gQyJ24"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$pbkdf2-sha512$1000$$jC/Hn1vVV27cc1K.7KblEYk8iRUF.enG97AebynV3SjD6jpgfCVvfDAuloJVw2/"
     "KPbEY4ektDnq6kIF3banIZw"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "pbkdf2_sha256$1000$dJ4ngo$pLHKqDszoiQb7UmYS2TyS8z8TIfRacoKtEq4SwRp2lA="},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "pbkdf2_sha512$1$x$xS0mmdP4nmpHVhZVfObnaZS3RyiZPxGMAesuIpxmW/"
     "237woGKhQoCo1iu247Hgy38uKcczWdI8N76irEYj6+ng=="},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$6$saltstring$JLpHkXO7TXkOU5iDSBoK0nf1J6QJ4m2grhOx4eW/oT7Dl/UQ3UXP1UWxX1r5eH695AilrBAugnu/"
     "IMzPHKCHJ/"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$6$rounds=1001$s$w2rrC3LjYUEdN.4IWQtGvdzMgSPnzQwdVG2grh0qJ."
     "ZBHdTODiL3Hi7TLOGyfnuWIe15QgOYfZyaIsMjUqQBD1"},
    {"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyy",
     "$5$rounds=1001$0123456789abcdef$JM5.wk7DEb9g.HJEYa/TEUmdgQpeteevUTgFnP8riZ/"},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "$argon2id$v=19$m=19456,t=2,p=1$GhZbBEHBOkru9xl5rwrhew$aMb55DYR3xZKEU8l3C6ipECW+kAd3ebJkr+"
     "eSICUN2c"},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "$argon2i$v=19$m=1024,t=3,p=4$GhZbBEHBOkru9xl5rwrhew$zIRlCjp/"
     "5s9E0amS8SXaF6a8eYojyB9r+Nyqkc0uNrg"},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "$pbkdf2-sha256$1000$//vvIHNhbHQ$FL4/t7bQ.WFiw/a3lLyv66NrHMa8VCbQKFMQmAwnN88"},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "$pbkdf2-sha512$1000$$rGaTymOvkrl0zwV.goO/KRBVvrbGRg.cf5GFQG4w3tXFFnzLQF/g4/6nFm7tZJ9Lm/"
     "zKIlEgtTgRaiVHa0nxUg"},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "pbkdf2_sha256$1000$dJ4ngo$ivwBhI1Cd33M3W+oW0ZiHzgluR8TbIJLFjT4KZgQcVA="},
    {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
     "z",
     "pbkdf2_sha512$1$x$cemcSNgyxf+GslprShtUjF+Iatp0VPylXQGPv1ifHl05Zv5K+J2gDGi6WQWyqY1V3/"
     "l5ftDn8iF1uJXw27/lpQ=="},
};

#endif
